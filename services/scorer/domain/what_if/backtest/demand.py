"""From what people want to the threshold: so many leads a week, or such a share of the wins.

Here leads are counted, not observations: a lead is selected once its score has reached the threshold, and a win is
found if its score was there at any of the observations that count as won.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import fmean, variance
from typing import Final, Literal

from services.scorer.domain.what_if.backtest.intervals import Estimate, rate, wilson
from services.scorer.domain.what_if.backtest.observations import Observations
from shared.documents.durations import WEEK_US

# With fewer weeks nothing can be said about how much they differ.
_WEEKS_TO_COMPARE: Final = 4


@dataclass(frozen=True, slots=True)
class Advice:
    """The `threshold` that gives what is wanted, and what it gives.

    Every threshold from the lower to the upper end of its interval may give just what is wanted, for all that the
    data say. `precision` is the share of selected leads that won.
    """

    wanted: Literal["leads_per_week", "share_of_wins"]
    amount: float
    threshold: Estimate
    leads_per_week: Estimate
    share_of_wins: Estimate
    precision: Estimate


class Demand:
    """Thresholds for one model's `scores`, over a period of `weeks`."""

    def __init__(self, observations: Observations, scores: Sequence[float], weeks: float) -> None:
        self._observations = observations
        self._scores = scores
        self._weeks = weeks
        places = range(len(scores))
        won = [place for place in places if observations.won[place]]
        self._peaks = _peaks(observations, scores, places)
        self._won_peaks = _peaks(observations, scores, won)
        self._all = sorted(self._peaks.values())
        self._won = sorted(self._won_peaks.values())

    def for_leads_per_week(self, number: float) -> Advice:
        """The lowest threshold that selects no more than `number` leads a week; the highest score if none does."""
        count = number * self._weeks
        threshold = next((level for level in self._levels if self._selected(level) <= count), self._levels[-1])
        dispersion = self._dispersion(threshold)

        def weekly(level: float) -> Estimate:
            return rate(self._selected(level), self._weeks, dispersion=dispersion)

        return self._advice("leads_per_week", number, self._within(threshold, number, weekly))

    def for_share_of_wins(self, share: float) -> Advice:
        """The highest threshold that finds at least `share` of the wins."""
        threshold = next(level for level in reversed(self._levels) if self._share(level).value >= share)
        return self._advice("share_of_wins", share, self._within(threshold, share, self._share))

    @cached_property
    def _levels(self) -> list[float]:
        """Every threshold that makes a difference, the lowest first."""
        return sorted({*self._all, *self._won})

    def _within(self, threshold: float, wanted: float, given: Callable[[float], Estimate]) -> Estimate:
        """All thresholds whose interval of what they give holds `wanted`; what they give falls as they rise."""
        levels = self._levels
        low = bisect_left(levels, x=True, key=lambda level: given(level).low <= wanted)
        high = bisect_left(levels, x=True, key=lambda level: given(level).high < wanted) - 1
        lowest, highest = levels[min(low, len(levels) - 1)], levels[max(high, 0)]
        return Estimate(threshold, min(threshold, lowest), max(threshold, highest))

    def _advice(
        self, wanted: Literal["leads_per_week", "share_of_wins"], amount: float, threshold: Estimate
    ) -> Advice:
        level = threshold.value
        selected = self._selected(level)
        winners = sum(1 for lead in self._won_peaks if self._peaks[lead] >= level)
        return Advice(
            wanted=wanted,
            amount=amount,
            threshold=threshold,
            leads_per_week=rate(selected, self._weeks, dispersion=self._dispersion(level)),
            share_of_wins=self._share(level),
            precision=wilson(winners / selected if selected else 0.0, selected),
        )

    def _selected(self, level: float) -> int:
        return len(self._all) - bisect_left(self._all, level)

    def _share(self, level: float) -> Estimate:
        found = len(self._won) - bisect_left(self._won, level)
        return wilson(found / len(self._won), len(self._won))

    def _dispersion(self, level: float) -> float:
        """How much more than by chance the weeks differ in how many leads reach `level` in them."""
        entered = _entered(self._observations, self._scores, level)
        begin = min(self._observations.at_us)
        weeks = int(self._weeks)
        if weeks < _WEEKS_TO_COMPARE or not entered:
            return 1.0
        in_order = sorted(entered)
        borders = [bisect_right(in_order, begin + number * WEEK_US - 1) for number in range(weeks + 1)]
        counts = [upper - lower for lower, upper in pairwise(borders)]
        return max(1.0, variance(counts) / fmean(counts)) if any(counts) else 1.0


def _peaks(observations: Observations, scores: Sequence[float], places: Iterable[int]) -> Mapping[int, float]:
    peaks: dict[int, float] = {}
    for place in places:
        lead = observations.leads[place]
        peaks[lead] = max(peaks.get(lead, scores[place]), scores[place])
    return peaks


def _entered(observations: Observations, scores: Sequence[float], level: float) -> Iterable[int]:
    """When each lead was first seen at `level` or above."""
    first: dict[int, int] = {}
    for lead, at_us, score in zip(observations.leads, observations.at_us, scores, strict=True):
        if score >= level:
            first[lead] = min(first.get(lead, at_us), at_us)
    return first.values()
