"""Versions of models: published, chosen, compiled; drafts, and which version runs in the shadow."""
