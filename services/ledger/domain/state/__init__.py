"""What is stored of a member, as values."""
