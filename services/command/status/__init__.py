"""`leadflow status`: what waits, where, and for how long."""
