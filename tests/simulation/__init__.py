"""The write path under crashes: drawn histories of many members, a store that fails at any call, what holds after.

One world is a function of its seed. `python -m tests.simulation` runs many of them in memory, or one on PostgreSQL.
"""
