"""Models: from a document to what it means, and how two of them differ."""
