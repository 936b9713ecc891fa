"""What the loyalty program promises, compiled from its document."""
