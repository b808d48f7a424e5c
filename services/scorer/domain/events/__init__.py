"""Events as the core sees them, and as text."""
