"""What comes into the ledger and what leaves it as events."""
