"""How points move between accounts and lots."""
