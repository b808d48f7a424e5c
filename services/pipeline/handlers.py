"""From bytes on the log to the service: what cannot be read is kept aside with the reason, the rest is taken in."""

import re
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from services.pipeline import metrics
from services.pipeline.service import PipelineService, Received, ScorerMessage
from shared.clock import Clock
from shared.db.engine import Database
from shared.errors import InvalidInput
from shared.events.codec import decode_plainly
from shared.events.json import STORABLE, json_faults, parse_json
from shared.events.scores import LeadErased, LeadEventsRecorded, LeadMerged, LeadUnmerged
from shared.events.topics import LEAD_SCORES
from shared.garbage import uncollected
from shared.log.dead_letter import sort_out
from shared.log.letter_sealing import set_aside
from shared.log.messages import is_owned_by, message_of, received_at_of
from shared.log.protocol import Log, ReceivedRecord
from shared.observability import tracing

_is_canonical: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


class Handlers:
    """The one unit of work of the pipeline's consumer."""

    def __init__(self, service: PipelineService, log: Log, clock: Clock, database: Database) -> None:
        self._service = service
        self._log = log
        self._clock = clock
        self._database = database

    async def handle(self, records: Sequence[ReceivedRecord]) -> None:
        """Take in a batch. Raises TransientError when it has to come again."""
        with uncollected():
            await self._handle(records)

    async def _handle(self, records: Sequence[ReceivedRecord]) -> None:
        with tracing.batch(LEAD_SCORES.name, records):
            batch, letters = sort_out(records, read)
            await self._service.take_in(batch)
            await set_aside(self._database, self._log, letters, now=self._clock.now())
        metrics.MESSAGES.labels("dead_lettered").inc(len(letters))


def read(record: ReceivedRecord) -> Received:
    """The message in a record. Raises InvalidInput for what is none of the scorer's, or cannot be stored."""
    message = decode_plainly(record.value)
    if not isinstance(message, ScorerMessage) or not _is_at_home(record, message):
        message = _read_exactly(record)
    return Received(message, record.value, tracing.read_record(record), received_at_of(record))


def _is_at_home(record: ReceivedRecord, message: ScorerMessage) -> bool:
    """Whether a message that was read plainly is what it should be in whole, and not only in what it is made of."""
    return is_owned_by(record, message.workspace) and all(map(_is_canonical, _ids_of(message)))


def _read_exactly(record: ReceivedRecord) -> ScorerMessage:
    """As the contract has it, which knows what is wrong."""
    message = message_of(record)
    if not isinstance(message, ScorerMessage):
        raise InvalidInput(f"{message.type} does not belong here", code="wrong_type", field="type")
    _check_ids(message)
    _check_text(record.value)
    facts = {} if isinstance(message, LeadMerged | LeadUnmerged | LeadErased) else dict(message.data.attributes)
    events = message.data.events if isinstance(message, LeadEventsRecorded) else ()
    for document in (facts, *(dict(event.properties) for event in events)):
        for path, reason in json_faults(document, STORABLE):
            raise InvalidInput(f"{path}: {reason}", code="not_storable", field=path)
    return message


def _check_text(body: bytes) -> None:
    """PostgreSQL cannot store NUL. It comes only as this escape, so the full look is taken hardly ever."""
    if rb"\u0000" in body:
        for path, reason in json_faults(parse_json(body), STORABLE):
            raise InvalidInput(f"{path}: {reason}", code="not_storable", field=path)


def _check_ids(message: ScorerMessage) -> None:
    for lead_id in _ids_of(message):
        if _is_canonical(lead_id):
            continue
        try:
            UUID(lead_id)
        except ValueError as error:
            raise InvalidInput("a lead's id is a UUID", code="not_storable", field="data.lead.id") from error
        raise InvalidInput("a lead's id is a UUID in its usual form", code="not_storable", field="data.lead.id")


def _ids_of(message: ScorerMessage) -> tuple[str, ...]:
    """Every lead that is meant."""
    match message:
        case LeadMerged():
            return message.data.lead.id, message.data.absorbed
        case LeadUnmerged():
            return message.data.lead.id, message.data.other
        case LeadErased():
            return message.data.lead.id, *message.data.absorbed
        case _:
            return (message.data.lead.id,)
