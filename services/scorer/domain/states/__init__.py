"""What is kept of a lead's events, and what no longer has to be."""
