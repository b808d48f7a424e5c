"""What if another model counted: simulations and backtests over stored histories. No lead changes."""
