"""Pipeline documents: versions, which of them counts, and having it compiled."""
