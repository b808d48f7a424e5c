"""How what is personal lies in the tables: sealed with the lead's key."""
