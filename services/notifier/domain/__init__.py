"""What the notifier decides, without I/O: who a member is, what is told at which touchpoint, and why not."""
