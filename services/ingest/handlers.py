"""From bytes on the log to the store of elements that became no event."""

from collections.abc import Sequence

from services.ingest.parked.repository import ParkedRepository
from shared.clock import Clock
from shared.db.engine import Database
from shared.errors import InvalidInput
from shared.events.json import JsonLimits, json_faults
from shared.events.parked import ElementParked
from shared.events.topics import PARKED_ELEMENTS
from shared.log.dead_letter import sort_out
from shared.log.letter_sealing import set_aside
from shared.log.messages import message_of
from shared.log.protocol import Log, ReceivedRecord
from shared.observability import tracing
from shared.observability.tracing import TraceContext

_STORABLE = JsonLimits(depth=8, keys=1_000, items=1_000, string_length=100_000)


class Handlers:
    """The one unit of work of ingest's consumer."""

    def __init__(self, parked: ParkedRepository, log: Log, clock: Clock, database: Database) -> None:
        self._parked = parked
        self._log = log
        self._clock = clock
        self._database = database

    async def handle(self, records: Sequence[ReceivedRecord]) -> None:
        """Store a batch. Raises TransientError when it has to come again."""
        with tracing.batch(PARKED_ELEMENTS.name, records):
            found, letters = sort_out(records, _read_with_trace)
            if found:
                await self._parked.store([message for message, _ in found], [trace for _, trace in found])
            await set_aside(self._database, self._log, letters, now=self._clock.now())


def read(record: ReceivedRecord) -> ElementParked:
    """The element in a record. Raises InvalidInput for what is none, or could not be stored."""
    message = message_of(record)
    if not isinstance(message, ElementParked):
        raise InvalidInput(f"{message.type} does not belong here", code="wrong_type", field="type")
    for path, reason in json_faults(message.model_dump(mode="json", exclude={"data": {"body"}}), _STORABLE):
        raise InvalidInput(f"{path}: {reason}", code="not_storable", field=path)
    return message


def _read_with_trace(record: ReceivedRecord) -> tuple[ElementParked, TraceContext | None]:
    return read(record), tracing.read_record(record)
