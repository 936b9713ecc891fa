"""The check of what tiering has stored: every history computed again, and compared."""
