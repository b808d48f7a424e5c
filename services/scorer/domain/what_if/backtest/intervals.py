"""Numbers with the interval around them: shares, also of observations that depend on each other, and rates.

Every interval is one of 95 %: of a hundred of them, about five miss what they are about.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Final

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number computed from a sample, and the interval in which the truth may lie."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Estimate":
        """The same in other units; `factor` is not negative."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)


def deviations(confidence: float = CONFIDENCE) -> float:
    """How many standard deviations to either side hold `confidence` of a normal distribution."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def wilson(share: float, number: float) -> Estimate:
    """A share of hits among `number` independent trials, which need not be whole.

    Source: Wilson, Probable inference, JASA 22 (1927) 209. Without trials nothing is known: 0 to 1.
    """
    if number <= 0:
        return Estimate(share, 0.0, 1.0)
    square = deviations() ** 2
    middle = (share + square / (2 * number)) / (1 + square / number)
    reach = sqrt(square * (share * (1 - share) / number + square / (4 * number * number))) / (1 + square / number)
    return Estimate(share, max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach)))


def rate(count: int, exposure: float, *, dispersion: float = 1.0) -> Estimate:
    """Events per unit of `exposure`, of a process whose counts vary `dispersion` times as much as Poisson's.

    The score interval of a Poisson count (Rao; see Barker, The American Statistician 56 (2002) 85), with the
    variance inflated as quasi-Poisson models do (McCullagh and Nelder, Generalized Linear Models, 1989, 6.2).
    """
    square = deviations() ** 2 * dispersion
    middle = count + square / 2
    reach = sqrt(square * (count + square / 4))
    return Estimate(count / exposure, max(0.0, middle - reach) / exposure, (middle + reach) / exposure)


class Share:
    """The share of hits among observations of leads; those of one lead depend on each other.

    The interval is Wilson's for as many trials as the observations are worth: their number over the design effect,
    the variance with leads as clusters over the variance of independent observations (Kish, Survey Sampling, 1965;
    compared with its rivals by Franco, Little, Louis and Slud, J. Survey Statistics and Methodology 7 (2019) 334).
    It is never below 1. With one observation per lead it is 1, and the interval is Wilson's own.
    Adding costs the same however much there is already, and so does the estimate.
    """

    def __init__(self) -> None:
        self._weights: dict[int, float] = {}
        self._hits: dict[int, float] = {}
        self._number = 0
        self._weight = self._hit = 0.0
        # Sums of squares and products over leads, and over single observations.
        self._lead_ww = self._lead_wh = self._lead_hh = 0.0
        self._ww = self._wwh = 0.0

    def add(self, lead: int, *, hit: bool, weight: float = 1.0) -> None:
        """One more observation, or as much of one as `weight` says."""
        weights, hits = self._weights.get(lead, 0.0), self._hits.get(lead, 0.0)
        self._weights[lead] = weights + weight
        self._number += 1
        self._weight += weight
        self._ww += weight * weight
        self._lead_ww += weight * (2 * weights + weight)
        self._lead_wh += weight * hits
        if hit:
            self.turn(lead, weight=weight)

    def turn(self, lead: int, *, weight: float = 1.0) -> None:
        """An observation of `lead` with this weight, added as no hit, is one."""
        hits = self._hits.get(lead, 0.0)
        self._hits[lead] = hits + weight
        self._hit += weight
        self._wwh += weight * weight
        self._lead_wh += weight * self._weights[lead]
        self._lead_hh += weight * (2 * hits + weight)

    @property
    def weight(self) -> float:
        """How many observations there are."""
        return self._weight

    def estimate(self) -> Estimate:
        """The share; 0 of nothing."""
        if not self._weight:
            return Estimate(0.0, 0.0, 1.0)
        share = min(1.0, self._hit / self._weight)
        return wilson(share, self._trials(share))

    def _trials(self, share: float) -> float:
        """How many independent trials the observations are worth."""
        leads = len(self._weights)
        if self._number == leads:
            return self._weight
        single = (self._wwh * (1 - 2 * share) + self._ww * share * share) * self._number / (self._number - 1)
        # All hits or none: what leads have in common cannot be seen, so each counts as one trial.
        if leads == 1 or single <= 1e-9 * self._ww:
            return min(self._weight, float(leads))
        squares = self._lead_hh - 2 * share * self._lead_wh + share * share * self._lead_ww
        return self._weight / max(1.0, squares * leads / (leads - 1) / single)
