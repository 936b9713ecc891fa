"""What the system carries on this machine: `make bench`, or `python -m tests.bench --help`."""
