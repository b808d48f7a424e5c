"""What reports ask of a lead's past, kept as facts come to pass: its way through the stages, and what brought it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from services.pipeline.domain.facts import Fact, Happened, Judged, Moved, Scored
from services.pipeline.domain.touches import Touch, last_of, named_touch_of


class Passage(Struct, frozen=True, gc=False):
    """A stage the lead has come to: when first, and how long the stays took that are over."""

    stage: str
    entered_at: datetime
    seconds: float = 0.0
    ending: Literal["won", "lost"] | None = None


class Past(Struct, frozen=True, gc=False):
    """`journey` has every stage once, in the order of first coming there; `model` is the last one that scored."""

    journey: tuple[Passage, ...] = ()
    last_touch: Touch | None = None
    qualified_at: datetime | None = None
    model: str | None = None


NO_PAST = Past()


def after_facts(past: Past, facts: Iterable[Fact]) -> Past:
    """The past once `facts` belong to it: the same one, as most events leave it."""
    for fact in facts:
        match fact:
            case Happened(_, event):
                past = _touched(past, named_touch_of(event))
            case Scored(_, change, None):
                past = _scored(past, f"{change.model} {change.model_version}")
            case Judged(at, verdict) if verdict.state == "qualified":
                past = replace(past, qualified_at=_earlier(past.qualified_at, at))
            case Moved():
                past = replace(past, journey=_moved(past.journey, fact))
            case _:
                pass
    return past


def _touched(past: Past, touch: Touch | None) -> Past:
    return past if touch is None else replace(past, last_touch=last_of(past.last_touch, touch))


def _scored(past: Past, model: str) -> Past:
    return past if past.model == model else replace(past, model=model)


def united(survivor: Past, absorbed: Past) -> Past:
    """The pasts of two leads that turned out to be one; time spent side by side counts once."""
    return Past(
        journey=_united(survivor.journey, absorbed.journey),
        last_touch=last_of(survivor.last_touch, absorbed.last_touch),
        qualified_at=_earlier(survivor.qualified_at, absorbed.qualified_at),
        model=survivor.model or absorbed.model,
    )


def _moved(journey: tuple[Passage, ...], move: Moved) -> tuple[Passage, ...]:
    if move.from_stage is not None and move.entered_at is not None:
        journey = _left(journey, move.from_stage, move.entered_at, move.at)
    if any(passage.stage == move.to.id for passage in journey):
        return journey
    return (*journey, Passage(move.to.id, move.at, ending=move.to.terminal))


def _left(journey: tuple[Passage, ...], stage: str, since: datetime, at: datetime) -> tuple[Passage, ...]:
    """A stage that this journey does not have yet was come to before journeys were kept."""
    if all(passage.stage != stage for passage in journey):
        journey = (*journey, Passage(stage, since))
    spent = (at - since).total_seconds()
    return tuple(
        replace(passage, seconds=passage.seconds + spent) if passage.stage == stage else passage
        for passage in journey
    )


def _united(one: tuple[Passage, ...], other: tuple[Passage, ...]) -> tuple[Passage, ...]:
    found = {passage.stage: passage for passage in one}
    for passage in other:
        known = found.get(passage.stage, passage)
        found[passage.stage] = replace(
            known,
            entered_at=min(known.entered_at, passage.entered_at),
            seconds=max(known.seconds, passage.seconds),
        )
    return tuple(sorted(found.values(), key=lambda passage: passage.entered_at))


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((moment for moment in (one, other) if moment), default=None)
