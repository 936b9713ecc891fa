"""Real PostgreSQL, Kafka and the three services on one machine, without Docker.

`python -m deploy.local` is what the Makefile calls. The tests start servers of their own by `postgres.py` and
`kafka.py`. Everything listens on loopback only.
"""
