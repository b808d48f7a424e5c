"""What models and pipelines have in common as documents: how they are read, their conditions and durations. Pure."""
