"""The forecast: what open deals are worth by the document's probabilities, and by what came of such deals before."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from services.pipeline.domain.reports.estimates import Rate, rate_of, rounded

_Z: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class OpenDeals:
    """Open deals of a group, a stage and a month of closing.

    `value` and `squares` are sums over amounts in the report's currency of deals that state no probability of
    their own; `stated_*` over those that do: their amounts, their expected value and its variance.
    """

    group: str | None
    month: date | None
    stage: str
    deals: int
    valued: int
    value: float
    squares: float
    stated_value: float
    stated_expected: float
    stated_variance: float
    stated_squares: float


@dataclass(frozen=True, slots=True)
class ClosedPath:
    """So many deals that are closed went this way."""

    path: tuple[str, ...]
    is_won: bool
    deals: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """A sum of amounts times probabilities, and where the sum of what is won will lie if these are right.

    The interval takes deals as independent and the sum as normal; it is too narrow for few deals or when a
    probability is wrong. `covered` is the amount of deals in stages that have a probability.
    """

    expected: float
    low: float
    high: float
    covered: float


@dataclass(frozen=True, slots=True)
class ForecastGroup:
    """Open deals of a group that are to close in a month; `unvalued` ones have no amount in the currency."""

    group: str | None
    month: date | None
    deals: int
    unvalued: int
    value: float
    weighted: Expectation
    historic: Expectation


@dataclass(frozen=True, slots=True)
class StageOdds:
    """What the document says of a stage, and how many of the closed deals that came there were won."""

    stage: str
    probability: float | None
    historic: Rate


@dataclass(frozen=True, slots=True)
class ForecastReport:
    """`weighted` takes the deal's own probability, else its stage's; `historic` the win rate of its stage."""

    at: datetime
    by: str | None
    currency: str | None
    total: ForecastGroup
    groups: tuple[ForecastGroup, ...]
    stages: tuple[StageOdds, ...]


def stage_odds(order: Iterable[tuple[str, float | None]], closed: Sequence[ClosedPath]) -> tuple[StageOdds, ...]:
    """Stages with their probability, and the win rate of deals that ever came there."""
    return tuple(
        StageOdds(
            stage=stage,
            probability=probability,
            historic=rate_of(
                sum(item.deals for item in closed if item.is_won and stage in item.path),
                sum(item.deals for item in closed if stage in item.path),
            ),
        )
        for stage, probability in order
    )


def forecast_groups(deals: Sequence[OpenDeals], odds: Sequence[StageOdds]) -> tuple[ForecastGroup, ...]:
    """Groups by month and name; the undated last."""
    found: dict[tuple[date | None, str | None], list[OpenDeals]] = defaultdict(list)
    for item in deals:
        found[item.month, item.group].append(item)
    ordered = sorted(found, key=lambda key: (key[0] or date.max, key[1] is None, key[1] or ""))
    return tuple(forecast_group(found[key], odds, month=key[0], group=key[1]) for key in ordered)


def forecast_group(
    deals: Sequence[OpenDeals], odds: Sequence[StageOdds], *, month: date | None = None, group: str | None = None
) -> ForecastGroup:
    """These deals together."""
    stated = {item.stage: item.probability for item in odds}
    historic = {item.stage: item.historic.rate for item in odds}
    return ForecastGroup(
        group=group,
        month=month,
        deals=sum(item.deals for item in deals),
        unvalued=sum(item.deals - item.valued for item in deals),
        value=rounded(math.fsum(item.value + item.stated_value for item in deals)),
        weighted=_weighted(deals, stated),
        historic=_historic(deals, historic),
    )


def _weighted(deals: Sequence[OpenDeals], stated: Mapping[str, float | None]) -> Expectation:
    parts = [(item.stated_expected, item.stated_variance, item.stated_value) for item in deals]
    parts += [_part(item.value, item.squares, stated.get(item.stage)) for item in deals]
    return _expectation(parts)


def _historic(deals: Sequence[OpenDeals], rates: Mapping[str, float | None]) -> Expectation:
    return _expectation(
        [
            _part(item.value + item.stated_value, item.squares + item.stated_squares, rates.get(item.stage))
            for item in deals
        ]
    )


def _part(value: float, squares: float, probability: float | None) -> tuple[float, float, float]:
    if probability is None:
        return 0.0, 0.0, 0.0
    return value * probability, squares * probability * (1 - probability), value


def _expectation(parts: Sequence[tuple[float, float, float]]) -> Expectation:
    expected, variance, covered = (math.fsum(column) for column in zip(*parts, strict=True)) if parts else (0.0,) * 3
    reach = _Z * math.sqrt(max(0.0, variance))
    low, high = expected - reach, expected + reach
    if covered >= 0:
        low, high = max(low, min(0.0, expected)), min(high, max(covered, expected))
    return Expectation(rounded(expected), rounded(low), rounded(high), rounded(covered))
