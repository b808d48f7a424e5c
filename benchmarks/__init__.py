"""What parts of leadflow cost, measured: run from the repository root, `python -m benchmarks.rules`."""
