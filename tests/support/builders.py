"""Things that tests are about, with everything filled in that a test does not care for."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from services.scorer.domain.counting.matching import state_of
from services.scorer.domain.events.event import Event
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.models.model import Model
from services.scorer.domain.states.state import LeadState, combine_all
from shared.events.json import Json


def at(text: str) -> datetime:
    """The moment `2026-03-02T10:00`, in UTC."""
    return datetime.fromisoformat(f"{text}Z")


def an_event(
    happened: str = "2026-03-02T10:00",
    event_type: str = "page_viewed",
    *,
    event_id: str | None = None,
    source: str = "web",
    received: str | None = None,
    attributes: Mapping[str, Json] | None = None,
    **properties: Json,
) -> Event:
    """An event of one lead; its id tells when and what unless a test names it."""
    return Event(
        id=event_id or f"{happened}/{event_type}",
        source=source,
        type=event_type,
        occurred_at=at(happened),
        properties=properties,
        attributes=attributes or {},
        received_at=None if received is None else at(received),
    )


def an_adjustment(happened: str = "2026-03-02T10:00", **properties: Json) -> Event:
    """Points given by hand to `engagement`; `properties` change what the event says."""
    given: dict[str, Json] = {"score": "engagement", "points": 5, "reason": "called", "actor": "kim", **properties}
    return replace(an_event(happened, "score_adjusted", event_id=f"adjustment at {happened}"), properties=given)


def a_retraction(target: str, happened: str = "2026-03-20T10:00", *, source: str = "web") -> Event:
    """The event that retracts the event `target` of its own source."""
    return Event(
        id=f"retraction of {target}",
        source=source,
        type="event_voided",
        occurred_at=at(happened),
        properties={"event_id": target},
        attributes={},
    )


def an_event_on_the_wire(document: Mapping[str, Any]) -> Event:
    """An event in the form of worked cases."""
    return Event(
        id=document["id"],
        source=document["source"],
        type=document["type"],
        occurred_at=datetime.fromisoformat(document["occurred_at"]),
        properties=document["properties"],
        attributes=document.get("attributes", {}),
        received_at=datetime.fromisoformat(document["received_at"]) if "received_at" in document else None,
    )


def a_rule(on: str = "page_viewed", points: float = 10, **rest: Json) -> dict[str, Json]:
    """A rule of an event-built score; its id is the event type unless a test names it."""
    return {"id": on, "on": on, "points": points, **rest}


def a_model(*rules: dict[str, Json], **sections: Json) -> Model:
    """A model with the event-built score `engagement`; `score` holds its other keys, the rest are sections."""
    score = sections.pop("score", {})
    scores = sections.pop("scores", {})
    assert isinstance(score, dict)
    assert isinstance(scores, dict)
    engagement: dict[str, Json] = {"rules": list(rules) or [a_rule()], **score}
    return parse_model({"model": "test", "scores": {"engagement": engagement, **scores}, **sections})


def a_state(model: Model, *events: Event) -> LeadState:
    """The state of a lead to whom `events` happened."""
    return combine_all(state_of(model, event) for event in events)
