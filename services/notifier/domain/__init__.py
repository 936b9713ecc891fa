"""What the notifier decides, without I/O: who a member is, which occasions make a message, and why one is not sent."""
