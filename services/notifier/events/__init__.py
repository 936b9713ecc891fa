"""What comes into the notifier and what leaves it as events."""
