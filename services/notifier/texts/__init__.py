"""What members read: templates rendered in their language."""
