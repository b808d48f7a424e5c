"""The log, without its engines: `shared.log.connect.open_log` gives one, and only that module knows which."""

from shared.log.dead_letter import DeadLetter, publish_dead_letters
from shared.log.loop import Handle, Progress, consume
from shared.log.protocol import (
    MAX_RECORD_BYTES,
    Consumer,
    Lag,
    Log,
    Partition,
    ReceivedRecord,
    Record,
)

__all__ = [
    "MAX_RECORD_BYTES",
    "Consumer",
    "DeadLetter",
    "Handle",
    "Lag",
    "Log",
    "Partition",
    "Progress",
    "ReceivedRecord",
    "Record",
    "consume",
    "publish_dead_letters",
]
