"""A lead's scores as functions of time, free of rules: what a reader needs to know any later score.

It is computed by the scorer, travels in `lead.score_changed`, and is read by whoever needs a score now
(the hot list, thresholds) without asking the scorer. It knows nothing of events after its moment.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from math import exp2, fsum
from typing import Annotated, Protocol

from pydantic import Field

from shared.events.part import Part

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HUNDREDTH = Decimal("0.01")

# Away from ties, and where a float has digits to spare, the nearest hundredth is beyond doubt without decimals.
_NEAR_A_TIE = 1e-6
_LARGE = 1e6


class Term(Part, frozen=True, gc=False):
    """Points that appear at one moment, decay, and may end."""

    worth: Annotated[float, Field(description="Points at `from_us`, undecayed since then.")]
    from_us: Annotated[int, Field(description="Worth nothing before; microseconds since 1970, UTC.")]
    half_life_us: Annotated[int | None, Field(description="Microseconds to half of it; null: no decay.")]
    ends_us: Annotated[int | None, Field(description="Worth nothing from then on; null: never ends.")]

    def value_at(self, at_us: int) -> float:
        """Worth at `at_us`, unrounded."""
        return worth_at(self, at_us)


class Ageing(Protocol):
    """Points that appear, decay and may end, as a term does; its fields say what those of a term say."""

    @property
    def worth(self) -> float:
        """Points, undecayed."""

    @property
    def from_us(self) -> int:
        """Worth nothing before."""

    @property
    def half_life_us(self) -> int | None:
        """None: no decay."""

    @property
    def ends_us(self) -> int | None:
        """Worth nothing from then on; None: never ends."""


def worth_at(term: Ageing, at_us: int) -> float:
    """Worth at `at_us`, unrounded. No half-life is short enough to overflow: age is never negative."""
    from_us, half_life_us, ends_us = term.from_us, term.half_life_us, term.ends_us
    if at_us < from_us or (ends_us is not None and at_us >= ends_us):
        return 0.0
    return term.worth if half_life_us is None else term.worth * exp2((from_us - at_us) / half_life_us)


class GroupCurve(Part, frozen=True, gc=False):
    """Terms that share limits; the terms of no group form one without limits."""

    min: Annotated[float | None, Field(description="The sum is never below; null: no floor.")]
    max: Annotated[float | None, Field(description="The sum is never above; null: no cap.")]
    terms: Annotated[tuple[Term, ...], Field(description="What adds up.")]


class ScoreCurve(Part, frozen=True, gc=False):
    """One score: the sum of its groups and of its weighted components, within its limits."""

    min: Annotated[float | None, Field(description="The score is never below; null: no floor.")]
    max: Annotated[float | None, Field(description="The score is never above; null: no cap.")]
    groups: Annotated[tuple[GroupCurve, ...], Field(description="Groups; empty for a combined score.")]
    components: Annotated[dict[str, float], Field(description="Weight of each score it combines.")]


class Curve(Part, frozen=True, gc=False):
    """Every score of a lead from `from_us` on, if nothing more happens."""

    from_us: Annotated[int, Field(description="Holds from here on; microseconds since 1970, UTC.")]
    scores: Annotated[
        dict[str, ScoreCurve], Field(description="By name; combined scores come after what they combine.")
    ]


def scores_at(curve: Curve, at: datetime) -> dict[str, float]:
    """Every score at `at` (aware), clamped but unrounded. Raises ValueError before the curve begins."""
    at_us = microseconds(at)
    if at_us < curve.from_us:
        raise ValueError(f"the curve begins at {moment(curve.from_us)}")
    # JSON may have put combined scores before what they combine.
    return values_at(dict(sorted(curve.scores.items(), key=lambda item: bool(item[1].components))), at_us)


def values_at(scores: Mapping[str, ScoreCurve], at_us: int) -> dict[str, float]:
    """Every score at a moment that no curve begins after; combined scores come after what they combine."""
    values: dict[str, float] = {}
    for name, score in scores.items():
        parts = [group_value(group, at_us) for group in score.groups]
        if score.components:
            parts += [weight * values[part] for part, weight in score.components.items()]
        values[name] = clamp(fsum(parts), score.min, score.max)
    return values


def group_value(group: GroupCurve, at_us: int) -> float:
    """What a group is worth: the sum of its terms within its limits."""
    return clamp(fsum([worth_at(term, at_us) for term in group.terms]), group.min, group.max)


def ceiling(curve: Curve, score: str) -> float:
    """No later value of `score` is above this: a bound to order candidates by, not a value it will reach."""
    return _bound(curve, curve.scores[score], upper=True)


def _bound(curve: Curve, score: ScoreCurve, *, upper: bool) -> float:
    groups = [_group_bound(group, curve.from_us, upper=upper) for group in score.groups]
    components = [
        weight * _bound(curve, curve.scores[part], upper=upper == (weight >= 0))
        for part, weight in score.components.items()
    ]
    return clamp(fsum(groups + components), score.min, score.max)


def _group_bound(group: GroupCurve, from_us: int, *, upper: bool) -> float:
    worths = [term.worth for term in group.terms if (term.worth > 0) is upper or _is_lasting(term, from_us)]
    return clamp(fsum(worths), group.min, group.max)


def _is_lasting(term: Term, from_us: int) -> bool:
    return term.from_us <= from_us and term.half_life_us is None and term.ends_us is None


def clamp(value: float, low: float | None, high: float | None) -> float:
    """`value` within the limits; where they contradict each other, the floor wins."""
    if high is not None and value > high:
        value = high
    return low if low is not None and value < low else value


def published(value: float) -> float:
    """`value` as it is told to the world: two decimals, half to even.

    Noise in the last binary digits, which depends on the order of summing, is taken off first, so that
    0.075 is a tie however it was added up.
    """
    hundredths = value * 100
    if abs(value) < _LARGE and abs(hundredths % 1 - 0.5) > _NEAR_A_TIE:
        return round(hundredths) / 100
    rounded = Decimal(repr(round(value, 9))).quantize(_HUNDREDTH, rounding=ROUND_HALF_EVEN)
    return float(rounded) + 0.0


def microseconds(at: datetime) -> int:
    """Microseconds since 1970 in UTC, exact. Raises ValueError for a naive time."""
    if at.tzinfo is None:
        raise ValueError("a time without zone is no moment")
    return (at - EPOCH) // _MICROSECOND


def moment(at_us: int) -> datetime:
    """The aware UTC time of `at_us`."""
    return EPOCH + at_us * _MICROSECOND


def merged(terms: Iterable[Ageing], *, at_us: int) -> tuple[Term, ...]:
    """The fewest terms that equal `terms` from `at_us` on: what decays and ends alike is added up."""
    past: dict[tuple[int | None, int | None], list[float]] = {}
    future: list[Term] = []
    # Asked of everything that ever gave a lead points, so what a portion is worth is written out.
    for term in terms:
        from_us, half_life_us, ends_us = term.from_us, term.half_life_us, term.ends_us
        if from_us > at_us:
            future.append(Term(term.worth, from_us, half_life_us, ends_us))
        elif ends_us is None or ends_us > at_us:
            worth = term.worth if half_life_us is None else term.worth * exp2((from_us - at_us) / half_life_us)
            alike = past.get((half_life_us, ends_us))
            if alike is None:
                past[half_life_us, ends_us] = [worth]
            else:
                alike.append(worth)
    sums = [Term(fsum(worths), at_us, half_life, ends) for (half_life, ends), worths in past.items()]
    if len(sums) > 1:
        sums.sort(key=_ageing)
    return (*sums, *sorted(future, key=_ageing)) if future else tuple(sums)


def _ageing(term: Term) -> tuple[int, int, int, float]:
    return term.from_us, term.half_life_us or 0, term.ends_us or 0, term.worth
