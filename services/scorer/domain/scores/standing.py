"""Where a lead stands: scores as published, their bands, the grade, and the position to each threshold."""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from services.scorer.domain.counting.tally import curve_of
from services.scorer.domain.models.model import Band, GradeThreshold, Model, ScoreThreshold, Threshold
from services.scorer.domain.states.state import LeadState
from shared.events.curve import Curve, published, scores_at
from shared.events.scores import Standing, ThresholdPosition

_SECOND_US = 1_000_000

# Rounding moves no value as far.
_HUNDREDTH = 0.01


def standing_of(model: Model, state: LeadState, at: datetime) -> Standing:
    """Where the lead of `state` stands at `at` (aware). Raises HistoryNeeded where the state cannot tell."""
    return standing_at(model, curve_of(model, state, at), at)


def standing_at(model: Model, curve: Curve, at: datetime) -> Standing:
    """Where a lead with this curve stands at `at`, which must not be before the curve."""
    return standing(model, scores_at(curve, at))


def standing(model: Model, values: Mapping[str, float]) -> Standing:
    """The standing that unrounded score `values` amount to."""
    scores = {name: published(value) for name, value in values.items()}
    bands = {name: band_of(scores[name], bands) for name, bands in model.bands.items()}
    return Standing(scores=scores, bands=bands, grade=_grade(model, bands))


def band_of(score: float, bands: tuple[Band, ...]) -> str | None:
    """The band with the greatest lower bound that the rounded `score` reaches."""
    return next((band.name for band in bands if score >= band.at_least), None)


def positions(model: Model, at: Standing) -> dict[str, ThresholdPosition]:
    """The position to every threshold of the model; whether the lead is inside is the past's to say."""
    return {name: _position(threshold, at) for name, threshold in model.thresholds.items()}


def levels_reached(model: Model, values: Mapping[str, float]) -> tuple[int, ...]:
    """How many of its levels each score reaches: bands, grade and positions differ where, and only where, this does.

    It is asked at every moment at which a forecast looks, and costs a fraction of a standing.
    """
    return tuple([levels_at(levels, values[score]) for score, levels in model.levels.items()])


def levels_at(levels: tuple[float, ...], value: float) -> int:
    """How many of `levels`, ascending, an unrounded value of their score reaches once it is published."""
    place = bisect_right(levels, value)
    is_near_below = place > 0 and value - levels[place - 1] <= _HUNDREDTH
    is_near_above = place < len(levels) and levels[place] - value <= _HUNDREDTH
    return bisect_right(levels, published(value)) if is_near_below or is_near_above else place


def _grade(model: Model, bands: Mapping[str, str | None]) -> str | None:
    if model.grade is None:
        return None
    first, second = (bands[score] for score in model.grade)
    return None if first is None or second is None else first + second


def _position(threshold: Threshold, at: Standing) -> ThresholdPosition:
    cooldown = None if threshold.cooldown_us is None else threshold.cooldown_us / _SECOND_US
    if isinstance(threshold, GradeThreshold):
        reached = at.grade in threshold.grades
        return ThresholdPosition(
            position="reached" if reached else "below",
            score=None,
            enter=None,
            exit=None,
            cooldown_seconds=cooldown,
        )
    return _score_position(threshold, at.scores[threshold.score], cooldown)


def _score_position(threshold: ScoreThreshold, score: float, cooldown_seconds: float | None) -> ThresholdPosition:
    position: Literal["reached", "between", "below"] = "between" if score >= threshold.exit else "below"
    return ThresholdPosition(
        position="reached" if score >= threshold.enter else position,
        score=score,
        enter=threshold.enter,
        exit=threshold.exit,
        cooldown_seconds=cooldown_seconds,
    )
