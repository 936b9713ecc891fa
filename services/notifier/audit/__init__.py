"""The check of what the notifier has stored."""
