"""Two weeks of a believable company, played through leadflow's public HTTP API by `leadflow demo`."""
