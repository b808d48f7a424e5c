"""Leads that became one, and two again because a person says so."""
