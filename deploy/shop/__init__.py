"""A shop to try the services with: a generated day, a replay of real invoices, and a report of the results.

`python -m deploy.shop day | replay | publish`. The shop stands outside of the services: it publishes the
events of `schemas` to Kafka as any shop's backend would, and reads results over HTTP and from the tables.
"""
