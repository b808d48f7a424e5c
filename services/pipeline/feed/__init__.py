"""Everything that was told in a workspace, in an order in which nothing can be missed."""
