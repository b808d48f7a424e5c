"""`leadflow tail`: what leadflow tells, as it happens."""
