"""The use cases: elements of a request become outcomes, and what was accepted becomes durable."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from msgspec.structs import replace
from prometheus_client import Counter

from services.ingest.domain.cloud_events import TypeNames, cloud_event_draft
from services.ingest.domain.draft import Draft, accept
from services.ingest.domain.identity import SHARED_MAILBOXES
from services.ingest.domain.items import DEFAULT_SOURCE, id_of, item_draft
from services.ingest.domain.outcome import Outcome, Status, parked, refused
from services.ingest.domain.parking import Origin, element_parked
from services.ingest.domain.plain import PlainItem
from services.ingest.domain.raw import raw_elements
from services.ingest.kinds.kind import Delivery, Kind, Parked, Recognised, Source, traits_of
from services.ingest.kinds.kind import Element as Translation
from services.ingest.kinds.registry import KINDS
from services.ingest.metrics import API, EVENT_AGE, EVENTS, Fate
from services.ingest.publisher import Publisher
from shared.deadlines import within
from shared.errors import InvalidInput, LogUnavailable, TransientError
from shared.events.accepting import AcceptedEvent, encode_accepted
from shared.events.codec import encode
from shared.events.engagement import identity_digest
from shared.events.json import Json, JsonLimits, parse_json
from shared.events.topics import ENGAGEMENT_EVENTS
from shared.failpoints import reach
from shared.log.messages import WORKSPACE_HEADER
from shared.log.protocol import Record
from shared.observability import tracing
from shared.observability.tracing import Span, TraceContext

_NO_IDENTITY = "no_identity"
_CONTENT_TYPE = b"application/cloudevents+json"
_SENDING = f"send {ENGAGEMENT_EVENTS.name}"
_FATES: Mapping[Status, Fate] = {
    Status.ACCEPTED: Fate.ACCEPTED,
    Status.IGNORED: Fate.IGNORED,
    Status.PARKED: Fate.PARKED,
    Status.REFUSED: Fate.INVALID,
}

_PAUSE_SECONDS = 0.2
_UNPLACED = frozenset({Status.PARKED, Status.REFUSED})

Element = Json | InvalidInput | PlainItem
DraftOf = Callable[[Json], tuple[Draft, str]]
ElementsOf = Callable[[Kind, Delivery], Sequence[Element]]
NamesOf = Mapping[str, TypeNames]


@dataclass(frozen=True, slots=True)
class Kept:
    """An element that was kept aside, to be tried again; `source` as it is now, None where there is none.

    `trace` is that of the request which brought it.
    """

    body: bytes
    origin: Origin
    source: Source | None = None
    trace: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class Ingest:
    """Accepts events into the log. What becomes none is kept aside, up to `max_parked_bytes` of each element;
    0: whoever calls keeps it.
    """

    publisher: Publisher
    limits: JsonLimits
    max_event_bytes: int
    max_parked_bytes: int = 0
    shared_mailboxes: frozenset[str] = SHARED_MAILBOXES

    async def accept_items(
        self,
        elements: Sequence[Element],
        *,
        workspace: str,
        received_at: datetime,
        source_label: str,
        body: bytes = b"",
    ) -> list[Outcome]:
        """Publish the good ones of generic items; the outcome of each, in their order.

        An element may be the error by which it could not be parsed; `body` is the request that they lie in.
        Raises TransientError: none is promised.
        """
        origin = Origin(workspace, API, source_label, "item", received_at)
        outcomes = [self._item(element, item_draft, received_at, index) for index, element in enumerate(elements)]
        return await self._published(outcomes, elements, body, origin)

    async def accept_cloud_events(
        self,
        elements: Sequence[Element],
        names_of: NamesOf,
        *,
        workspace: str,
        received_at: datetime,
        source_label: str,
        body: bytes = b"",
    ) -> list[Outcome]:
        """The same for CloudEvents; `names_of` maps CloudEvent types, by source, to engagement types."""
        origin = Origin(workspace, API, source_label, "cloud_event", received_at)
        draft_of = _drafts_by(names_of)
        outcomes = [self._item(element, draft_of, received_at, index) for index, element in enumerate(elements)]
        return await self._published(outcomes, elements, body, origin)

    async def accept_delivery(
        self, elements: Sequence[Element], kind: Kind, delivery: Delivery, source: Source
    ) -> list[Outcome]:
        """The same for the elements of a verified webhook."""
        origin = Origin(source.workspace, source.id, source.kind, "element", delivery.received_at, delivery.headers)
        outcomes = self._webhook_elements(elements, kind, delivery, source)
        return await self._published(outcomes, elements, delivery.body, origin)

    async def keep_body(self, error: InvalidInput, delivery: Delivery, source: Source) -> None:
        """Keep a verified webhook aside that could not be taken apart at all. Raises TransientError."""
        origin = Origin(source.workspace, source.id, source.kind, "body", delivery.received_at, delivery.headers)
        with _sending(source.kind) as span:
            aside = self._kept([refused(error)], [error], delivery.body, origin, trace=span.context)
            await self._append([], aside, 1, source.kind)

    async def accept_again(
        self, kept: Sequence[Kept], names_of: NamesOf, elements_of: ElementsOf
    ) -> list[list[Outcome]]:
        """Try elements that were kept aside, as their sources are now: each one's outcomes.

        Events get the ids and the time of receipt that they would have got then, so that one which was
        published already counts once. Nothing is kept aside anew. Raises TransientError.
        """
        records: list[Record] = []
        outcomes: list[list[Outcome]] = []
        for one in kept:
            trace = tracing.follow(_SENDING, "producer", parent=one.trace or tracing.current())
            tried = self._again(one, names_of, elements_of)
            outcomes.append(self._within_size(tried, one.origin.workspace, records, trace=trace))
        await self.publisher.publish(records)
        return outcomes

    def _again(self, kept: Kept, names_of: NamesOf, elements_of: ElementsOf) -> list[Outcome]:
        received_at = kept.origin.received_at
        try:
            match kept.origin.form:
                case "item":
                    return [self._item(parse_json(kept.body), item_draft, received_at, 0)]
                case "cloud_event":
                    return [self._item(parse_json(kept.body), _drafts_by(names_of), received_at, 0)]
                case _:
                    return self._again_from_webhook(kept, elements_of)
        except InvalidInput as error:
            return [refused(error)]

    def _again_from_webhook(self, kept: Kept, elements_of: ElementsOf) -> list[Outcome]:
        kind = KINDS.get(kept.source.kind) if kept.source else None
        if kept.source is None or kind is None:
            return [parked("no_source", "the source that it came from is no more")]
        delivery = Delivery("POST", kept.origin.headers, kept.body, kept.origin.received_at)
        is_whole = kept.origin.form == "body"
        elements = elements_of(kind, delivery) if is_whole else [parse_json(kept.body)]
        return self._webhook_elements(elements, kind, delivery, kept.source)

    def _item(self, element: Element, draft_of: DraftOf, received_at: datetime, index: int) -> Outcome:
        try:
            if isinstance(element, PlainItem):
                # Its values have been held to the limits already.
                event = accept(
                    element,
                    source=element.source or DEFAULT_SOURCE,
                    received_at=received_at,
                    limits=None,
                    shared_mailboxes=self.shared_mailboxes,
                )
            elif isinstance(element, InvalidInput):
                return refused(element, index=index)
            else:
                draft, source = draft_of(element)
                event = self._event(draft, source, received_at)
        except InvalidInput as error:
            return refused(error, id_of(element), index=index)
        return Outcome(Status.ACCEPTED, event.id, event, None, index)

    def _webhook_elements(
        self, elements: Sequence[Element], kind: Kind, delivery: Delivery, source: Source
    ) -> list[Outcome]:
        return [
            replace(outcome, index=index)
            for index, element in enumerate(elements)
            for outcome in self._webhook_element(element, kind, delivery, source)
        ]

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
            event = self._event(draft, source.id, delivery.received_at)
        except InvalidInput as error:
            if error.code == _NO_IDENTITY:
                return parked(error.code, "the element does not say whose it is", element_id=draft.id)
            return refused(error, draft.id)
        return Outcome(status, event.id, event)

    def _event(self, draft: Draft, source: str, received_at: datetime) -> AcceptedEvent:
        return accept(
            draft,
            source=source,
            received_at=received_at,
            limits=self.limits,
            shared_mailboxes=self.shared_mailboxes,
        )

    async def _published(
        self, outcomes: Sequence[Outcome], elements: Sequence[Element], body: bytes, origin: Origin
    ) -> list[Outcome]:
        """The outcomes once the events, and what became none, are durable; events too large are refused."""
        records: list[Record] = []
        with _sending(origin.kind) as span:
            final = self._within_size(outcomes, origin.workspace, records, trace=span.context)
            aside = self._kept(final, elements, body, origin, trace=span.context)
            await self._append(records, aside, len(final), origin.kind)
        _count(final, origin.kind)
        return final

    def _within_size(
        self, outcomes: Sequence[Outcome], workspace: str, records: list[Record], *, trace: TraceContext
    ) -> list[Outcome]:
        """The outcomes, with events that the log cannot take refused; what it can take is added to `records`."""
        final = list(outcomes)
        headers = _headers(workspace, trace)
        for place, outcome in enumerate(outcomes):
            if outcome.event is None:
                continue
            record = _record(outcome.event, workspace, headers)
            if len(record.value) > self.max_event_bytes:
                final[place] = refused(self._too_large(), outcome.id, index=outcome.index)
            else:
                records.append(record)
        return final

    def _kept(
        self,
        outcomes: Sequence[Outcome],
        elements: Sequence[Element],
        body: bytes,
        origin: Origin,
        *,
        trace: TraceContext,
    ) -> list[Record]:
        """A record for each element of which something became no event."""
        unplaced = {outcome.index: outcome for outcome in outcomes if outcome.status in _UNPLACED}
        if not unplaced or not self.max_parked_bytes:
            return []
        raw = raw_elements(elements, body, unplaced)
        messages = [
            element_parked(outcome, raw[index], origin, most_bytes=self.max_parked_bytes)
            for index, outcome in unplaced.items()
        ]
        headers = _headers(origin.workspace, trace)
        return [Record(message.id.encode(), encode(message), headers) for message in messages]

    async def _append(
        self, records: Sequence[Record], aside: Sequence[Record], elements: int, source_label: str
    ) -> None:
        """Raise LogUnavailable before the sender gives up: to it, no answer is worse than one to come again after."""
        traits = traits_of(KINDS.get(source_label))
        try:
            with within(traits.patience_seconds):
                await self._publish(records, aside, again=traits.comes_once)
            reach("log-acknowledged-sender-not-told")
        except TimeoutError as error:
            EVENTS.labels(source_label, Fate.UNAVAILABLE).inc(elements)
            message = f"the log did not confirm within {traits.patience_seconds} s"
            raise LogUnavailable(message, outcome_unknown=True) from error
        except TransientError:
            EVENTS.labels(source_label, Fate.UNAVAILABLE).inc(elements)
            raise

    def _publish(self, records: Sequence[Record], aside: Sequence[Record], *, again: bool) -> Awaitable[None]:
        publish = self._publish_again if again else self.publisher.publish
        return publish(records, aside)

    async def _publish_again(self, records: Sequence[Record], aside: Sequence[Record]) -> None:
        """Until it succeeds: what the sender will not send again is worth waiting for."""
        while True:
            try:
                return await self.publisher.publish(records, aside)
            except LogUnavailable:
                await asyncio.sleep(_PAUSE_SECONDS)

    def _too_large(self) -> InvalidInput:
        return InvalidInput(f"the event is larger than {self.max_event_bytes} bytes", code="event_too_large")


def _sending(source_label: str) -> AbstractContextManager[Span]:
    """The span of what a request publishes."""
    attributes = {"messaging.destination.name": ENGAGEMENT_EVENTS.name, "leadflow.source_kind": source_label}
    return tracing.span(_SENDING, "producer", parent=tracing.current(), attributes=attributes)


def _headers(workspace: str, trace: TraceContext) -> dict[str, bytes]:
    return {"content-type": _CONTENT_TYPE, WORKSPACE_HEADER: workspace.encode(), **trace.headers()}


def _drafts_by(names_of: NamesOf) -> DraftOf:
    def draft_of(element: Json) -> tuple[Draft, str]:
        return cloud_event_draft(element, names_of)

    return draft_of


def _record(event: AcceptedEvent, workspace: str, headers: Mapping[str, bytes]) -> Record:
    digest = identity_digest(workspace, event.lead)
    return Record(digest.encode(), encode_accepted(event, workspace=workspace, digest=digest), headers)


# Looking a series up costs more than counting in it.
@cache
def _counter(source_label: str, fate: Fate) -> Counter:
    return EVENTS.labels(source_label, fate)


def _count(outcomes: Sequence[Outcome], source_label: str) -> None:
    statuses = [outcome.status for outcome in outcomes]
    uncounted = len(statuses)
    for status, fate in _FATES.items():
        if uncounted and (number := statuses.count(status)):
            _counter(source_label, fate).inc(number)
            uncounted -= number
    events = [outcome.event for outcome in outcomes if outcome.event is not None]
    EVENT_AGE.observe_all([(event.received_at - event.occurred_at).total_seconds() for event in events])
