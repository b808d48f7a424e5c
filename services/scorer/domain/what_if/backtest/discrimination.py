"""Whether a model gives winners more points than others: the area under the ROC curve, alone and compared.

The area (AUC) is the chance that a lead that is won has the higher score of two, equal scores counting half.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import exp, fsum, log, sqrt
from statistics import NormalDist

from services.scorer.domain.what_if.backtest.intervals import CONFIDENCE, Estimate, deviations
from services.scorer.domain.what_if.backtest.observations import Observations, ranked


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same leads: `better` and `worse` are places in the list of models.

    `difference` holds together with those of all other pairs (Bonferroni): if its interval holds 0, the two are
    within noise of each other. `p_value` is adjusted alike.
    """

    better: int
    worse: int
    difference: Estimate
    p_value: float
    within_noise: bool


@dataclass(frozen=True, slots=True)
class Discrimination:
    """The area of each model, in the order of the models, and every pair of them compared."""

    areas: tuple[Estimate, ...]
    comparisons: tuple[Comparison, ...]

    def ranking(self) -> tuple[int, ...]:
        """Places of the models, the greatest area first."""
        return tuple(sorted(range(len(self.areas)), key=lambda place: (-self.areas[place].value, place)))


def discrimination_of(observations: Observations) -> Discrimination:
    """Areas and comparisons, O(n log n) for n observations.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837, in the form of Obuchowski, Biometrics 53
    (1997) 567, which allows for leads that are observed more than once and is DeLong's where they are not.
    Intervals of areas are made on the logit scale, so that they stay within 0 and 1 (Pepe, The Statistical
    Evaluation of Medical Tests, 2003, 5.2). Raises ValueError with fewer than two leads that won, or that did not.
    """
    leads = _Leads(observations)
    if min(leads.winning, leads.losing) < 2:
        raise ValueError("an area needs two leads that won and two that did not")
    parts = [_components(observations, leads, scores) for scores in observations.scores]
    areas = tuple(_area(part, leads) for part in parts)
    pairs = list(combinations(range(len(parts)), 2))
    return Discrimination(areas, tuple(_compared(one, other, parts, leads, len(pairs)) for one, other in pairs))


class _Leads:
    """How often each lead was observed as won and as not won."""

    def __init__(self, observations: Observations) -> None:
        names = {lead: number for number, lead in enumerate(dict.fromkeys(observations.leads))}
        self.numbers = [names[lead] for lead in observations.leads]
        self.won = [0] * len(names)
        self.not_won = [0] * len(names)
        for lead, won in zip(self.numbers, observations.won, strict=True):
            (self.won if won else self.not_won)[lead] += 1
        self.winning = sum(1 for number in self.won if number)
        self.losing = sum(1 for number in self.not_won if number)


@dataclass(frozen=True, slots=True)
class _Components:
    """What each lead adds to an area beyond its share: as a winner, and as one who is beaten."""

    area: float
    of_won: Sequence[float]
    of_not_won: Sequence[float]


def _components(observations: Observations, leads: _Leads, scores: Sequence[float]) -> _Components:
    """Each observation's chance to stand on the right side of one of the other kind, summed by lead."""
    wins, others = sum(leads.won), sum(leads.not_won)
    of_won, of_not_won = [0.0] * len(leads.won), [0.0] * len(leads.won)
    above = 0
    below = others
    for _, places in ranked(scores):
        won_here = sum(observations.won[place] for place in places)
        below -= len(places) - won_here
        beaten = (below + (len(places) - won_here) / 2) / others
        beaten_by = (above + won_here / 2) / wins
        above += won_here
        for place in places:
            if observations.won[place]:
                of_won[leads.numbers[place]] += beaten
            else:
                of_not_won[leads.numbers[place]] += beaten_by
    area = fsum(of_won) / wins
    return _Components(area, _centred(of_won, leads.won, area), _centred(of_not_won, leads.not_won, area))


def _centred(sums: Sequence[float], numbers: Sequence[int], area: float) -> list[float]:
    return [total - number * area for total, number in zip(sums, numbers, strict=True)]


def _covariance(one: _Components, other: _Components, leads: _Leads) -> float:
    wins, others, number = sum(leads.won), sum(leads.not_won), len(leads.won)
    crossed = _product(one.of_won, other.of_not_won) + _product(one.of_not_won, other.of_won)
    return (
        _product(one.of_won, other.of_won) * _unbiased(leads.winning) / wins**2
        + _product(one.of_not_won, other.of_not_won) * _unbiased(leads.losing) / others**2
        + crossed * _unbiased(number) / (wins * others)
    )


def _product(one: Iterable[float], other: Iterable[float]) -> float:
    return fsum(left * right for left, right in zip(one, other, strict=True))


def _unbiased(number: int) -> float:
    return number / (number - 1)


def _area(part: _Components, leads: _Leads) -> Estimate:
    if part.area in {0.0, 1.0}:
        return _separated(part.area, leads.winning, leads.losing)
    reach = deviations() * sqrt(max(0.0, _covariance(part, part, leads))) / (part.area * (1 - part.area))
    middle = log(part.area / (1 - part.area))
    return Estimate(part.area, 1 / (1 + exp(reach - middle)), 1 / (1 + exp(-reach - middle)))


def _separated(area: float, winning: int, losing: int) -> Estimate:
    """An area of 0 or 1, where DeLong's variance is nought: what would just not be refuted by it.

    Source: Newcombe, Statistics in Medicine 25 (2006) 559, method 5; with a count of leads, not of observations.
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        more = (winning + losing) / 2 - 1
        spread = 1 + more * (1 - middle) / (2 - middle) + more * middle / (1 + middle)
        variance = middle * (1 - middle) * spread / (winning * losing)
        if (1 - middle) > deviations() * sqrt(variance):
            low = middle
        else:
            high = middle
    return Estimate(1.0, low, 1.0) if area else Estimate(0.0, 0.0, 1 - low)


def _compared(one: int, other: int, parts: Sequence[_Components], leads: _Leads, pairs: int) -> Comparison:
    better, worse = sorted((one, other), key=lambda place: (-parts[place].area, place))
    variance = (
        _covariance(parts[better], parts[better], leads)
        + _covariance(parts[worse], parts[worse], leads)
        - 2 * _covariance(parts[better], parts[worse], leads)
    )
    difference, error = parts[better].area - parts[worse].area, sqrt(max(0.0, variance))
    reach = deviations(1 - (1 - CONFIDENCE) / pairs) * error
    return Comparison(
        better=better,
        worse=worse,
        difference=Estimate(difference, difference - reach, difference + reach),
        p_value=min(1.0, pairs * _p_value(difference, error)),
        within_noise=difference <= reach,
    )


def _p_value(difference: float, error: float) -> float:
    """The chance of at least such a difference between equals."""
    if not error:
        return 0.0 if difference else 1.0
    return 2 * (1 - NormalDist().cdf(difference / error))
