"""What each kind of input means."""
