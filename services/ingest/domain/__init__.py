"""What an event is, who its lead is, and why one is refused: pure, without clock or I/O."""
