"""Qualification, stages, thresholds and due times as values and functions: no clock, no I/O."""
