"""What people and CRMs say by events, read: facts of the deal, words on criteria, wishes to move a lead."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from services.pipeline.domain.qualification import Word
from services.pipeline.domain.stages import Move, Stages
from shared.events.legible import AnyJson
from shared.events.scores import RecordedEvent

STAGE_CHANGED: Final = "stage_changed"
DEAL_CREATED: Final = "deal_created"
DEAL_UPDATED: Final = "deal_updated"
DEAL_WON: Final = "deal_won"
DEAL_LOST: Final = "deal_lost"
CRITERION_CONFIRMED: Final = "criterion_confirmed"
CRITERION_REFUTED: Final = "criterion_refuted"

OWN_SOURCE: Final = "leadflow-pipeline"
"""The source of events that the pipeline itself lets happen."""

DEAL_EVENTS: Final = frozenset({STAGE_CHANGED, DEAL_CREATED, DEAL_UPDATED, DEAL_WON, DEAL_LOST})
CRITERION_EVENTS: Final = frozenset({CRITERION_CONFIRMED, CRITERION_REFUTED})
DEAL_FIELDS: Final = ("owner", "amount", "currency", "close_date", "probability", "name")


class DealFact(Struct, frozen=True, gc=False):
    """One field of the deal; the latest word stands."""

    value: AnyJson
    at: datetime


def deal_facts(event: RecordedEvent) -> dict[str, DealFact]:
    """What an event about a deal says of it."""
    if event.type not in DEAL_EVENTS:
        return {}
    return {
        name: DealFact(event.properties[name], event.occurred_at) for name in DEAL_FIELDS if name in event.properties
    }


def later_facts(one: Mapping[str, DealFact], other: Mapping[str, DealFact]) -> dict[str, DealFact]:
    """Of each field the later fact; of two at one moment, that of `other`."""
    found = dict(one)
    for name, fact in other.items():
        if name not in found or found[name].at <= fact.at:
            found[name] = fact
    return found


def word_on(event: RecordedEvent) -> Word | None:
    """The word on a criterion, where the event is one."""
    criterion = _text(event, "criterion")
    if event.type not in CRITERION_EVENTS or criterion is None:
        return None
    return Word(
        criterion=criterion,
        confirmed=event.type == CRITERION_CONFIRMED,
        source=_speaker(event),
        actor=_text(event, "actor"),
        note=_text(event, "note"),
        at=event.occurred_at,
    )


def asked_move(event: RecordedEvent, stages: Stages) -> Move | None:
    """The move that the event asks for, if it asks for one.

    Stages go by their id or by what CRMs call them; `deal_won` and `deal_lost` need name none, because the
    document's first stage of that ending is meant.
    """
    named = _text(event, "stage")
    match event.type:
        case "stage_changed":
            target = named or ""
        case "deal_won" | "deal_lost" if named is None:
            ending = stages.ending("won" if event.type == DEAL_WON else "lost")
            target = ending.id if ending is not None else event.type.removeprefix("deal_")
        case "deal_won" | "deal_lost":
            target = named or ""
        case _:
            return None
    known = stages.called(target)
    return Move(
        to=known.id if known is not None else target,
        by="person" if event.properties.get("by") == "person" else "crm",
        actor=_text(event, "actor") or event.source,
        reason=_text(event, "reason"),
        override=event.properties.get("override") is True,
    )


def sets_off_rules(event: RecordedEvent) -> bool:
    """Whether rules may act on the event: not on a robot's, nor on what the pipeline itself let happen."""
    return event.properties.get("machine") is not True and event.source != OWN_SOURCE


def _speaker(event: RecordedEvent) -> Literal["person", "crm"]:
    """Events of leadflow's own API are people's unless they say otherwise; those of a source are a CRM's."""
    stated = event.properties.get("by", "person" if event.source == "api" else "crm")
    return "person" if stated == "person" else "crm"


def _text(event: RecordedEvent, name: str) -> str | None:
    value = event.properties.get(name)
    return value if isinstance(value, str) and value.strip() else None
