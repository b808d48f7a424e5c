"""What became no event: kept, and tried again after somebody mended what was wrong."""
