"""Leads as the pipeline keeps, lists and shows them, and what came to pass with them, told."""
