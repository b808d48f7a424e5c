"""What counts, and what for: from an event to a state, and from a state to terms of time."""
