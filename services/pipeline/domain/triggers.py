"""What `enter_when` says: a small tree of data, and whether it holds for a lead now.

Thresholds, verdicts and `stage_in` are states; an event and a leaving are moments. A rule acts only when
something in it is fresh, so a person who moves a lead back is not overruled by what was true all along.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from msgspec import Struct


@dataclass(frozen=True, slots=True)
class Inside:
    """The lead is inside one of these thresholds."""

    thresholds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeftThreshold:
    """The lead has just left one of these thresholds."""

    thresholds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EventSeen:
    """An event of one of these types has just been recorded."""

    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerdictIs:
    """Qualification says so."""

    state: Literal["qualified", "disqualified"]


@dataclass(frozen=True, slots=True)
class StandsIn:
    """The lead stands in one of these stages: names where a move comes from."""

    stages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds."""

    parts: "tuple[Trigger, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: "tuple[Trigger, ...]"


Trigger: TypeAlias = Inside | LeftThreshold | EventSeen | VerdictIs | StandsIn | AllOf | AnyOf


class Fresh(Struct, frozen=True, gc=False):
    """What has just become so."""

    entered: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    judged: bool = False
    moved: bool = False


class Situation(Struct, frozen=True, gc=False):
    """All that a trigger can see of a lead."""

    stage: str
    inside: frozenset[str] = frozenset()
    verdict: str = "open"
    fresh: Fresh = Fresh()


class Match(Struct, frozen=True, gc=False):
    """A trigger that holds: in words, whether it names the stage it comes from, whether it is fresh."""

    words: str
    named: bool = False
    fresh: bool = False


def matching(trigger: Trigger, situation: Situation) -> Match | None:
    """How `trigger` holds in `situation`; None when it does not."""
    fresh = situation.fresh
    match trigger:
        case Inside(names):
            inside = _first(names, situation.inside & fresh.entered) or _first(names, situation.inside)
            return Match(f"inside the threshold {inside}", fresh=inside in fresh.entered) if inside else None
        case LeftThreshold(names):
            left = _first(names, fresh.left)
            return Match(f"left the threshold {left}", fresh=True) if left else None
        case EventSeen(types):
            seen = _first(types, fresh.events)
            return Match(f"event {seen}", fresh=True) if seen else None
        case VerdictIs(state):
            return Match(state, fresh=fresh.judged) if situation.verdict == state else None
        case StandsIn(stages):
            if situation.stage not in stages:
                return None
            return Match(f"in the stage {situation.stage}", named=True, fresh=fresh.moved)
        case AllOf(parts):
            return _joined([matching(part, situation) for part in parts])
        case AnyOf(parts):
            found = [matched for part in parts if (matched := matching(part, situation))]
            return max(found, key=lambda matched: (matched.fresh, matched.named), default=None)
        case _:
            assert_never(trigger)


def stages_named(trigger: Trigger) -> tuple[str, ...]:
    """Every stage that `stage_in` names anywhere in `trigger`."""
    match trigger:
        case StandsIn(stages):
            return stages
        case AllOf(parts) | AnyOf(parts):
            return tuple(stage for part in parts for stage in stages_named(part))
        case _:
            return ()


def events_named(trigger: Trigger) -> tuple[str, ...]:
    """Every type of event that `trigger` waits for."""
    match trigger:
        case EventSeen(types):
            return types
        case AllOf(parts) | AnyOf(parts):
            return tuple(name for part in parts for name in events_named(part))
        case _:
            return ()


def thresholds_named(trigger: Trigger) -> tuple[str, ...]:
    """Every threshold that `trigger` waits for."""
    match trigger:
        case Inside(names) | LeftThreshold(names):
            return names
        case AllOf(parts) | AnyOf(parts):
            return tuple(name for part in parts for name in thresholds_named(part))
        case _:
            return ()


def _first(names: Sequence[str], among: frozenset[str]) -> str | None:
    return next((name for name in names if name in among), None)


def _joined(matches: Sequence[Match | None]) -> Match | None:
    found = [item for item in matches if item is not None]
    if len(found) < len(matches):
        return None
    return Match(
        " and ".join(item.words for item in found),
        named=any(item.named for item in found),
        fresh=any(item.fresh for item in found),
    )
