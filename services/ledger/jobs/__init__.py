"""What the ledger does by itself, when time passes."""
