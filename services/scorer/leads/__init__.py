"""Leads as the tables hold them: states, names, events and histories, in and out; nothing above is known here."""
