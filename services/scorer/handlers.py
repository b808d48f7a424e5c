"""From bytes on the log to the service: what cannot be read is kept aside with the reason, the rest is counted."""

from collections.abc import Sequence

from services.scorer import metrics
from services.scorer.service import Scorer
from shared.clock import Clock
from shared.errors import InvalidInput
from shared.events.codec import decode
from shared.events.engagement import EngagementAccepted
from shared.events.json import JsonLimits, json_faults
from shared.log.dead_letter import DeadLetter, publish_dead_letters
from shared.log.protocol import Log, ReceivedRecord
from shared.observability.metrics import DEAD_LETTERS

# Wider than ingest's door: whoever else writes the topic is only held to what can be stored at all.
_STORABLE = JsonLimits(depth=100, keys=10_000, items=10_000, string_length=1_000_000)


class Handlers:
    """The one unit of work of the scorer's consumer."""

    def __init__(self, scorer: Scorer, log: Log, clock: Clock) -> None:
        self._scorer = scorer
        self._log = log
        self._clock = clock

    async def handle(self, records: Sequence[ReceivedRecord]) -> None:
        """Count a batch. Raises TransientError when it has to come again."""
        messages: list[EngagementAccepted] = []
        letters: list[DeadLetter] = []
        for record in records:
            try:
                messages.append(read(record))
            except InvalidInput as error:
                letters.append(DeadLetter(record, error.code))
        await self._scorer.count(messages)
        if letters:
            await publish_dead_letters(self._log, letters, now=self._clock.now())
        for letter in letters:
            metrics.EVENTS.labels("dead_lettered").inc()
            DEAD_LETTERS.labels(letter.record.partition.topic, letter.reason).inc()


def read(record: ReceivedRecord) -> EngagementAccepted:
    """The event in a record. Raises InvalidInput for what is none, or could not be stored exactly."""
    message = decode(record.value)
    if not isinstance(message, EngagementAccepted):
        raise InvalidInput(f"{message.type} does not belong here", code="wrong_type", field="type")
    event = message.data
    if not event.lead.keys():
        raise InvalidInput("the event names nobody", code="no_identity", field="lead")
    document = event.model_dump(mode="json")
    for path, reason in json_faults(document, _STORABLE):
        raise InvalidInput(f"{path}: {reason}", code="not_storable", field=path)
    return message
