"""The ways out of the system: how a decision to send becomes a request that a gateway understands."""
