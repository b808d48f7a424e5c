"""Outgoing webhooks: whom to connect to, how to sign, when to try again, and the task that does it."""
