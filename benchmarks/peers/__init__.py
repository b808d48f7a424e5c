"""The same work by other stream processors and by leadflow: `make bench-peers`, told in docs/peers.md."""
