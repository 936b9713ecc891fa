"""Tiering: computes each member's dated tier history from the ledger's timelines, and publishes its changes."""
