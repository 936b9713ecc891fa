"""Real PostgreSQL, Kafka and the three services on one machine, without Docker.

`python -m deploy.local` is what the Makefile calls; `postgres.py` and `kafka.py` alone start the servers of
the tests as well. Everything listens on loopback only.
"""
