"""The rules of tiers as a pure fold: no I/O, no clock, no randomness.

`ladder` and `program` are what a program document says; `history` reads a ladder over dated entries;
`member` is what is kept of one member and how an input changes it.
"""
