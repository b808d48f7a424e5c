"""The webhook sources of workspaces: stored, checked, reviewed as a file, and at hand in memory."""
