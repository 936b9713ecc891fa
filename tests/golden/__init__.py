"""Golden journals: what became of recorded inputs once, row by row, held against what becomes of them now.

A change that moves or renames code, and means to change nothing, must write the same journal: the same inputs, records,
entries and chain heads, byte for byte. `drawn` plays histories that are committed beside what came of them; `replay`
plays a whole file in the Online Retail format through the real write path on a store in memory.

`python -m tests.golden compare` plays again and compares, `record` writes anew what came of it: that is for a change of
the rules, whose differences are then read in review. `draw` draws other histories. What all of this needs of the
services is imported by `seam` alone.
"""
