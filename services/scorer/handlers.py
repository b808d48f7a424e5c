"""From bytes on the log to the service: what cannot be read is kept aside with the reason, the rest is counted."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer import metrics
from services.scorer.causes import event_key
from services.scorer.service import Note, Scorer
from shared.clock import Clock
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.errors import InvalidInput
from shared.events.accepting import Accepted, as_accepted, decode_accepted
from shared.events.engagement import EngagementAccepted
from shared.events.json import STORABLE, json_faults
from shared.events.topics import ENGAGEMENT_EVENTS
from shared.garbage import uncollected
from shared.log import handled
from shared.log.dead_letter import DeadLetter, sort_out
from shared.log.handled import Fate
from shared.log.letter_sealing import set_aside
from shared.log.messages import is_owned_by, message_of
from shared.log.protocol import Log, ReceivedRecord
from shared.observability import tracing
from shared.observability.tracing import TraceContext

GROUP = "scorer"


class Handlers:
    """The one unit of work of the scorer's consumer."""

    def __init__(self, scorer: Scorer, log: Log, clock: Clock, database: Database) -> None:
        self._scorer = scorer
        self._log = log
        self._clock = clock
        self._database = database

    async def handle(self, records: Sequence[ReceivedRecord]) -> None:
        """Count a batch. Raises TransientError when it has to come again."""
        with uncollected():
            await self._handle(records)

    async def _handle(self, records: Sequence[ReceivedRecord]) -> None:
        with tracing.batch(ENGAGEMENT_EVENTS.name, records):
            traced, letters = sort_out(records, _read_with_trace)
            # Of an event that comes twice the first one counts.
            traces = {event_key(message): trace for message, trace in reversed(traced) if trace is not None}
            messages, note = [message for message, _ in traced], _in_the_books(records, letters)
            await self._scorer.count(messages, reach=ALL_WORKSPACES, note=note, traces=traces)
            await set_aside(self._database, self._log, letters, now=self._clock.now())
        metrics.EVENTS.labels("dead_lettered").inc(len(letters))


def _in_the_books(records: Sequence[ReceivedRecord], letters: Sequence[DeadLetter]) -> Note:
    """Writes down what became of each record of a batch, in the transaction of their effects."""
    dead = {(letter.record.partition, letter.record.offset) for letter in letters}

    async def note(connection: AsyncConnection, were_new: Sequence[bool]) -> None:
        new = iter(were_new)
        fates: list[Fate] = [
            "dead" if (record.partition, record.offset) in dead else "counted" if next(new) else "repeated"
            for record in records
        ]
        await handled.enter(connection, GROUP, records, fates)

    return note


def read(record: ReceivedRecord) -> Accepted:
    """The event in a record. Raises InvalidInput for what is none, or could not be stored exactly."""
    accepted = decode_accepted(record.value)
    if accepted is None or not accepted.data.lead.keys() or not is_owned_by(record, accepted.workspace):
        return _read_exactly(record)
    return accepted


def _read_exactly(record: ReceivedRecord) -> Accepted:
    """As the contract has it, which knows what is wrong."""
    message = message_of(record)
    if not isinstance(message, EngagementAccepted):
        raise InvalidInput(f"{message.type} does not belong here", code="wrong_type", field="type")
    event = message.data
    if not event.lead.keys():
        raise InvalidInput("the event names nobody", code="no_identity", field="lead")
    for path, reason in json_faults(event.model_dump(mode="json"), STORABLE):
        raise InvalidInput(f"{path}: {reason}", code="not_storable", field=path)
    return as_accepted(message)


def _read_with_trace(record: ReceivedRecord) -> tuple[Accepted, TraceContext | None]:
    return read(record), tracing.read_record(record)
