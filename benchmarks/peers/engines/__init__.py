"""One adapter per engine, short on purpose: whoever knows an engine better can see what we did with it."""
