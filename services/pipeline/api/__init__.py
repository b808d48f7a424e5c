"""The HTTP API of the pipeline: leads, pipeline documents, subscriptions."""
