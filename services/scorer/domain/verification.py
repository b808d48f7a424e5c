"""What is stored of a lead beside what its events say: where they differ, and what mends it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from services.scorer.domain.assessment import Assessment, Told, assess, told_by
from services.scorer.domain.counting.folding import compact
from services.scorer.domain.counting.tally import HistoryNeeded, Tally, curve_from, settled_until, tally_of
from services.scorer.domain.lead import ActiveModel, Happening, Lead, happen, is_outdated, rebuilt
from services.scorer.domain.models.model import Model
from services.scorer.domain.scores.forecast import next_change
from services.scorer.domain.scores.standing import positions, standing
from services.scorer.domain.states.state import LeadState
from services.scorer.domain.telling import Teller
from shared.events.accepting import AcceptedEvent
from shared.events.curve import microseconds, moment, scores_at
from shared.events.envelope import Message
from shared.events.json import Json
from shared.events.scores import Standing

# Two sums of the same points may differ by this, relative to their size: the order of adding is not kept.
_SAME_WORTH: Final = 1e-9
# What that does to the moment of a crossing: microseconds, and more where a score hardly moves.
_SAME_MOMENT_US: Final = 1_000_000

_STATE: Final = "state"
_DUE: Final = "due_at"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing of a lead that is stored otherwise than its events have it.

    `field` is `scores.<name>`, `bands.<name>`, `grade` or `thresholds.<name>` for what the stored state says,
    the same after `published.` for what the world was told, `due_at`, `state` or `model_version`.
    """

    field: str
    stored: Json
    from_events: Json


@dataclass(frozen=True, slots=True)
class Repair:
    """The lead as its events have it, what was otherwise, and what the world is to be told of that."""

    lead: Lead
    differences: tuple[Difference, ...]
    messages: tuple[Message, ...]


def differences(
    active: ActiveModel, lead: Lead, state: LeadState, *, at: datetime, now: datetime
) -> tuple[Difference, ...]:
    """Where `lead` differs from `state`, which is computed from all of its events.

    Scores are compared at `at`, or at the first moment after it for which the stored state still answers;
    what was told and what is due at `now`.
    """
    if lead.version != active.version:
        return (Difference("model_version", lead.version, active.version),)
    tally = tally_of(active.model, state)
    return (
        *_of_state(active.model, lead.state, tally, microseconds(at)),
        *_of_told(active.model, lead, tally, microseconds(now)),
        *_of_due(active.model, lead, tally, microseconds(now)),
    )


def repaired(active: ActiveModel, lead: Lead, history: Sequence[AcceptedEvent], now: datetime) -> Repair:
    """`lead` with what its whole `history` amounts to.

    A state that comes out the same is told to nobody, nor what time has yet to tell; a wrong one is.
    """
    fresh = rebuilt(active, lead, history)
    if is_outdated(active, lead):
        outcome = happen(active, fresh, Happening(), now, is_rebuilt=True)
        return Repair(outcome.lead, differences(active, lead, fresh.state, at=now, now=now), outcome.messages)
    found = differences(active, lead, fresh.state, at=now, now=now)
    after = replace(fresh, state=compact(active.model, fresh.state))
    return _mended(active, fresh, after, found, now) if found else Repair(after, (), ())


def _mended(active: ActiveModel, fresh: Lead, after: Lead, found: tuple[Difference, ...], now: datetime) -> Repair:
    at = max(now, fresh.told.at) if fresh.told else now
    assessment = assess(active.model, fresh.state, at)
    after = replace(after, due_at=assessment.changes_at)
    if not _is_news(fresh.told, assessment, found):
        return Repair(after, found, ())
    teller = Teller(fresh.reference, fresh.workspace, fresh.sequence)
    teller.score_changed(
        assessment,
        fresh.told.standing if fresh.told else None,
        cause="model",
        events=(),
        model=active.model.name,
        model_version=active.version,
    )
    after = replace(after, told=told_by(assessment), sequence=teller.sequence)
    return Repair(after, found, tuple(teller.messages))


def _is_news(told: Told | None, assessment: Assessment, found: tuple[Difference, ...]) -> bool:
    if told is None or any(difference.field not in {_STATE, _DUE} for difference in found):
        return True
    after = told_by(assessment)
    known = (told.standing.bands, told.standing.grade, told.positions)
    return known != (after.standing.bands, after.standing.grade, after.positions)


def _of_state(model: Model, stored: LeadState, tally: Tally, at_us: int) -> Iterator[Difference]:
    at_us = max(at_us, settled_until(stored))
    try:
        values = _values(model, tally_of(model, stored), at_us)
    except HistoryNeeded:
        yield Difference(_STATE, "cannot answer", None)
        return
    expected = _values(model, tally, at_us)
    alike = {name: expected[name] if _is_same(value, expected[name]) else value for name, value in values.items()}
    yield from _between(_facts(model, standing(model, alike)), _facts(model, standing(model, expected)))


def _of_told(model: Model, lead: Lead, tally: Tally, now_us: int) -> Iterator[Difference]:
    """Scores that merely decayed are not told again, so bands, the grade and positions are what can be wrong."""
    if not model.scores:
        return
    if lead.told is None:
        yield Difference("published", None, "nothing was told of this lead")
        return
    # What is due but not told yet is the due moments' business.
    due_us = None if lead.due_at is None else microseconds(lead.due_at) - 1
    at_us = max(microseconds(lead.told.at), now_us if due_us is None else min(now_us, due_us))
    expected = _facts(model, standing(model, _values(model, tally, at_us)))
    told = _told_facts(lead.told)
    for field, value in expected.items():
        if not field.startswith("scores.") and told.get(field) != value:
            yield Difference(f"published.{field}", told.get(field), value)


def _of_due(model: Model, lead: Lead, tally: Tally, now_us: int) -> Iterator[Difference]:
    since_us = max(now_us, microseconds(lead.told.at) if lead.told else now_us)
    due_us = None if lead.due_at is None else microseconds(lead.due_at)
    if due_us is not None and due_us <= since_us:
        since_us = due_us - _SAME_MOMENT_US
    expected = next_change(model, curve_from(model, tally, since_us))
    if not _is_same_moment(due_us, expected):
        yield Difference(_DUE, _in_words(due_us), _in_words(expected))


def _values(model: Model, tally: Tally, at_us: int) -> dict[str, float]:
    return scores_at(curve_from(model, tally, at_us), moment(at_us))


def _is_same(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME_WORTH * max(1.0, abs(one))


def _is_same_moment(one: int | None, other: int | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= _SAME_MOMENT_US


def _facts(model: Model, found: Standing) -> dict[str, Json]:
    where = {name: position.position for name, position in positions(model, found).items()}
    return _flat(found, where)


def _told_facts(told: Told) -> dict[str, Json]:
    return _flat(told.standing, told.positions)


def _flat(found: Standing, where: Mapping[str, str]) -> dict[str, Json]:
    return {
        **{f"scores.{name}": score for name, score in found.scores.items()},
        **{f"bands.{name}": band for name, band in found.bands.items()},
        "grade": found.grade,
        **{f"thresholds.{name}": position for name, position in where.items()},
    }


def _between(stored: Mapping[str, Json], expected: Mapping[str, Json]) -> Iterator[Difference]:
    for field, value in expected.items():
        if stored[field] != value:
            yield Difference(field, stored[field], value)


def _in_words(at_us: int | None) -> Json:
    return None if at_us is None else moment(at_us).isoformat()
