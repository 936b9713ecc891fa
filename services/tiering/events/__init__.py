"""What comes into tiering and what leaves it as events."""
