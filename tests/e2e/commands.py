"""The commands of `leadflow` that the end-to-end tests start as processes; compose runs no other."""

COMMANDS = ("ingest", "scorer", "pipeline", "migrate", "up")
