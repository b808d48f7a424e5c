"""Content sealed with a key of the lead it is about: whoever deletes the key has erased it, wherever copies lie."""
