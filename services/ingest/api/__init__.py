"""The HTTP face of ingest."""
