"""The webhook sources: one module per kind, which verifies raw bytes and translates what they say."""
