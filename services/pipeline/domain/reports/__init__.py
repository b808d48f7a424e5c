"""Reports, as far as they are arithmetic: rates with intervals, comparisons, and the shapes of the answers."""
