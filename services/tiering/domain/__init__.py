"""The rules of tiers as a pure fold: no I/O, no clock, no randomness.

`program` and `ladder` hold what a program document promises, `timeline` what one order contributes and when,
`history` the tiers that dated entries reach, and `member` what is kept of a member and how an input changes it.
"""
