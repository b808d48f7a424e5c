"""The kinds of webhook sources: one module for each, which verifies raw bytes and translates what they say."""
