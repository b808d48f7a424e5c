"""Velocity: what the open deals bring per day, and the parts of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.pipeline.domain.reports.comparison import Comparison, Outcomes, compare
from services.pipeline.domain.reports.estimates import Mean, Rate, Spread, mean_days_of, mean_of, rate_of, rounded


@dataclass(frozen=True, slots=True)
class DealCount:
    """Deals of a group: counts, and mean and variance of the sample of won deals' amounts and cycles.

    `valued` won deals have an amount in the report's currency, `cycles` are in seconds.
    """

    group: str | None
    open: int
    won: int
    lost: int
    valued: int
    value: float | None
    value_variance: float | None
    cycle: float | None
    cycle_variance: float | None


@dataclass(frozen=True, slots=True)
class VelocityGroup:
    """`per_day` = open x win rate x mean value / mean cycle; None while one of them is unknown or the cycle is 0.

    The win rate is of deals that are closed; value and cycle are those of won deals.
    """

    group: str | None
    open: int
    won: int
    lost: int
    win_rate: Rate
    value: Mean
    cycle_days: Mean
    cycle_spread: Spread
    per_day: float | None


@dataclass(frozen=True, slots=True)
class VelocityReport:
    """`stage`: where a deal begins. `other_currencies` won deals have an amount that is not in `currency`."""

    at: datetime
    by: str | None
    stage: str | None
    currency: str | None
    other_currencies: int
    precision: float
    groups: tuple[VelocityGroup, ...]
    comparison: Comparison | None


def velocity_group(counted: DealCount, spread: Spread) -> VelocityGroup:
    """The group with its velocity."""
    win_rate = rate_of(counted.won, counted.won + counted.lost)
    value = mean_of(counted.valued, counted.value, counted.value_variance)
    cycle = mean_days_of(counted.won, counted.cycle, counted.cycle_variance)
    return VelocityGroup(
        group=counted.group,
        open=counted.open,
        won=counted.won,
        lost=counted.lost,
        win_rate=win_rate,
        value=value,
        cycle_days=cycle,
        cycle_spread=spread,
        per_day=_per_day(counted.open, win_rate, value, cycle),
    )


def velocity_comparison(counted: Sequence[DealCount]) -> Comparison:
    """Whether groups differ in how many of their closed deals were won."""
    return compare("the win rate", [Outcomes(item.group, item.won, item.won + item.lost) for item in counted])


def _per_day(open_deals: int, win_rate: Rate, value: Mean, cycle: Mean) -> float | None:
    if win_rate.rate is None or value.mean is None or not cycle.mean:
        return None
    return rounded(open_deals * win_rate.rate * value.mean / cycle.mean)
