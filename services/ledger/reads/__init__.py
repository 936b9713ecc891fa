"""Reading the ledger without writing and without waiting for its locks."""
