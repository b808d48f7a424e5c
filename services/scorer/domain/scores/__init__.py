"""Scores at any moment: what they are, why, and what becomes of them."""
