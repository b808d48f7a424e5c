"""The use cases: elements of a request become outcomes, and what was accepted becomes durable."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.ingest.domain.cloud_events import TypeNames, cloud_event_draft
from services.ingest.domain.draft import Draft, accept
from services.ingest.domain.items import id_of, item_draft
from services.ingest.domain.outcome import Outcome, Status, parked, refused
from services.ingest.metrics import EVENT_AGE, EVENTS, Fate
from services.ingest.publisher import Publisher
from services.ingest.sources.kind import Delivery, Kind, Parked, Recognised, Source
from services.ingest.sources.kind import Element as Translation
from shared.errors import InvalidInput, TransientError
from shared.events.codec import encode
from shared.events.engagement import EngagementAccepted, EngagementEvent, identity_digest
from shared.events.json import Json, JsonLimits
from shared.log.protocol import Record

_NO_IDENTITY = "no_identity"
_CONTENT_TYPE = b"application/cloudevents+json"
_FATES: Mapping[Status, Fate] = {
    Status.ACCEPTED: Fate.ACCEPTED,
    Status.IGNORED: Fate.IGNORED,
    Status.PARKED: Fate.PARKED,
    Status.REFUSED: Fate.INVALID,
}

Element = Json | InvalidInput
DraftOf = Callable[[Json], tuple[Draft, str]]


@dataclass(frozen=True, slots=True)
class Ingest:
    """Accepts events into the log."""

    publisher: Publisher
    limits: JsonLimits
    max_event_bytes: int

    async def accept_items(
        self, elements: Sequence[Element], *, workspace: str, received_at: datetime, source_label: str
    ) -> list[Outcome]:
        """Publish the good ones of generic items; the outcome of each, in their order.

        An element may be the error by which it could not be parsed. Raises TransientError: none is promised.
        """
        outcomes = [self._item(element, item_draft, received_at) for element in elements]
        return await self._published(outcomes, workspace, source_label)

    async def accept_cloud_events(
        self,
        elements: Sequence[Element],
        names_of: Mapping[str, TypeNames],
        *,
        workspace: str,
        received_at: datetime,
        source_label: str,
    ) -> list[Outcome]:
        """The same for CloudEvents; `names_of` maps CloudEvent types, by source, to engagement types."""

        def draft_of(element: Json) -> tuple[Draft, str]:
            return cloud_event_draft(element, names_of)

        outcomes = [self._item(element, draft_of, received_at) for element in elements]
        return await self._published(outcomes, workspace, source_label)

    async def accept_delivery(
        self, elements: Sequence[Element], kind: Kind, delivery: Delivery, source: Source
    ) -> list[Outcome]:
        """The same for the elements of a verified webhook."""
        outcomes = [
            outcome for element in elements for outcome in self._webhook_element(element, kind, delivery, source)
        ]
        return await self._published(outcomes, source.workspace, source.kind)

    def _item(self, element: Element, draft_of: DraftOf, received_at: datetime) -> Outcome:
        if isinstance(element, InvalidInput):
            return refused(element)
        try:
            draft, source = draft_of(element)
            event = accept(draft, source=source, received_at=received_at, limits=self.limits)
        except InvalidInput as error:
            return refused(error, id_of(element))
        return Outcome(Status.ACCEPTED, event.id, event)

    def _webhook_element(self, element: Element, kind: Kind, delivery: Delivery, source: Source) -> list[Outcome]:
        """The outcomes of one element: one, but where it says several things at once."""
        if isinstance(element, InvalidInput):
            return [refused(element)]
        if not isinstance(element, dict):
            return [refused(InvalidInput("must be a JSON object", code="invalid_value"))]
        try:
            translated = kind.translate(element, delivery, source)
        except InvalidInput as error:
            return [refused(error)]
        parts = translated if isinstance(translated, Sequence) else [translated]
        return [self._translated(part, delivery, source) for part in parts]

    def _translated(self, translated: Translation, delivery: Delivery, source: Source) -> Outcome:
        if isinstance(translated, Recognised):
            return Outcome(Status.IGNORED, translated.element_id)
        if isinstance(translated, Parked):
            return parked(translated.code, translated.message, element_id=translated.element_id)
        status = Status.IGNORED if translated.ignored else Status.ACCEPTED
        return self._draft(translated.draft, status, delivery, source)

    def _draft(self, draft: Draft, status: Status, delivery: Delivery, source: Source) -> Outcome:
        try:
            event = accept(draft, source=source.id, received_at=delivery.received_at, limits=self.limits)
        except InvalidInput as error:
            if error.code == _NO_IDENTITY:
                return parked(error.code, "the element does not say whose it is", element_id=draft.id)
            return refused(error, draft.id)
        return Outcome(status, event.id, event)

    async def _published(self, outcomes: Sequence[Outcome], workspace: str, source_label: str) -> list[Outcome]:
        """The outcomes once the events among them are durable; those too large for the log are refused."""
        final = list(outcomes)
        records: list[Record] = []
        for index, outcome in enumerate(outcomes):
            if outcome.event is None:
                continue
            record = _record(outcome.event, workspace)
            if len(record.value) > self.max_event_bytes:
                final[index] = refused(self._too_large(), outcome.id)
            else:
                records.append(record)
        await self._append(records, len(outcomes), source_label)
        _count(final, source_label)
        return final

    async def _append(self, records: Sequence[Record], elements: int, source_label: str) -> None:
        try:
            await self.publisher.publish(records)
        except TransientError:
            EVENTS.labels(source_label, Fate.UNAVAILABLE).inc(elements)
            raise

    def _too_large(self) -> InvalidInput:
        return InvalidInput(f"the event is larger than {self.max_event_bytes} bytes", code="event_too_large")


def _record(event: EngagementEvent, workspace: str) -> Record:
    digest = identity_digest(workspace, event.lead)
    message = EngagementAccepted(
        id=event.id,
        source=event.source,
        subject=digest,
        time=event.occurred_at,
        workspace=workspace,
        data=event,
    )
    headers = {"content-type": _CONTENT_TYPE, "workspace": workspace.encode()}
    return Record(digest.encode(), encode(message), headers)


def _count(outcomes: Sequence[Outcome], source_label: str) -> None:
    for status, number in Counter(outcome.status for outcome in outcomes).items():
        EVENTS.labels(source_label, _FATES[status]).inc(number)
    for outcome in outcomes:
        if outcome.event is not None:
            EVENT_AGE.observe((outcome.event.received_at - outcome.event.occurred_at).total_seconds())
