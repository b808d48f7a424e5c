"""A version in the shadow: kept up to date with the leads, and held against the active one."""
