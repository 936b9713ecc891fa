"""Reads of the ledger. None writes, and none waits for a lock."""
