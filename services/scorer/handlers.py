"""From bytes on the log to the service: what cannot be read is kept aside with the reason, the rest is counted."""

from collections.abc import Sequence

from services.scorer import metrics
from services.scorer.service import Scorer
from shared.clock import Clock
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.errors import InvalidInput
from shared.events.codec import decode
from shared.events.engagement import EngagementAccepted
from shared.events.json import STORABLE, json_faults
from shared.log.dead_letter import sort_out
from shared.log.letter_sealing import set_aside
from shared.log.protocol import Log, ReceivedRecord


class Handlers:
    """The one unit of work of the scorer's consumer."""

    def __init__(self, scorer: Scorer, log: Log, clock: Clock, database: Database) -> None:
        self._scorer = scorer
        self._log = log
        self._clock = clock
        self._database = database

    async def handle(self, records: Sequence[ReceivedRecord]) -> None:
        """Count a batch. Raises TransientError when it has to come again."""
        messages, letters = sort_out(records, read)
        await self._scorer.count(messages, reach=ALL_WORKSPACES)
        await set_aside(self._database, self._log, letters, now=self._clock.now())
        metrics.EVENTS.labels("dead_lettered").inc(len(letters))


def read(record: ReceivedRecord) -> EngagementAccepted:
    """The event in a record. Raises InvalidInput for what is none, or could not be stored exactly."""
    message = decode(record.value)
    if not isinstance(message, EngagementAccepted):
        raise InvalidInput(f"{message.type} does not belong here", code="wrong_type", field="type")
    event = message.data
    if not event.lead.keys():
        raise InvalidInput("the event names nobody", code="no_identity", field="lead")
    document = event.model_dump(mode="json")
    for path, reason in json_faults(document, STORABLE):
        raise InvalidInput(f"{path}: {reason}", code="not_storable", field=path)
    return message
