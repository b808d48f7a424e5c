"""Who is told by webhook: subscriptions, their deliveries, replays, and the task that does it."""
