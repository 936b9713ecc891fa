"""The rules of points written twice more: as a naive model, and as a table of hand-computed examples."""
