"""What is held about a lead, for the person that asks: sealed, exported, erased."""
