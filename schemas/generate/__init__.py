"""What is generated from the contracts' code: JSON Schema, AsyncAPI, and the reference pages."""
