"""Numbers that say how sure they are: rates, means and quantiles with their counts and 95 % intervals."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.pipeline.domain.reports.distributions import student_quantile

_Z: Final = 1.959963984540054
_DIGITS: Final = 6
DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` out of `of`, and the interval that the rate behind it lies in; None where there is nothing to share."""

    count: int
    of: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of `count` values; the interval needs two of them."""

    count: int
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of `count` durations, in days."""

    count: int
    median: float | None
    p90: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """`count` durations from `lowest` to `highest` seconds; exact where these are the same."""

    lowest: float
    highest: float
    count: int


def rate_of(count: int, of: int) -> Rate:
    """The rate with its score interval. Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212."""
    if of == 0:
        return Rate(count, of, None, None, None)
    share = count / of
    middle = share + _Z * _Z / (2 * of)
    reach = _Z * math.sqrt(share * (1 - share) / of + _Z * _Z / (4 * of * of))
    scale = 1 + _Z * _Z / of
    low = 0.0 if count == 0 else (middle - reach) / scale
    high = 1.0 if count == of else (middle + reach) / scale
    return Rate(count, of, rounded(share), rounded(low), rounded(high))


def mean_of(count: int, mean: float | None, variance: float | None) -> Mean:
    """The mean with Student's interval; `variance` is that of the sample."""
    if count == 0 or mean is None:
        return Mean(count, None, None, None)
    if count == 1 or variance is None:
        return Mean(count, rounded(mean), None, None)
    reach = student_quantile(count - 1) * math.sqrt(max(variance, 0.0) / count)
    return Mean(count, rounded(mean), rounded(mean - reach), rounded(mean + reach))


def mean_days_of(count: int, seconds: float | None, variance: float | None) -> Mean:
    """The mean of durations, in days, from their mean and variance in seconds.

    No mean of durations lies below 0: what is left of the interval there holds it as often as the whole.
    """
    found = mean_of(count, seconds, variance)
    low = found.low if found.low is None else max(found.low, 0.0)
    days = (None if value is None else rounded(value / DAY_SECONDS) for value in (found.mean, low, found.high))
    return Mean(count, *days)


def spread_of(bins: Iterable[Bin]) -> Spread:
    """Median and 90th percentile of what the bins hold, in days."""
    ordered = sorted(bins, key=lambda item: item.lowest)
    count = sum(item.count for item in ordered)
    if count == 0:
        return Spread(0, None, None)
    return Spread(count, *(rounded(quantile(ordered, share) / DAY_SECONDS) for share in (0.5, 0.9)))


def quantile(ordered: Sequence[Bin], share: float) -> float:
    """The value below which `share` of the values lie, interpolated between neighbours (type 7 of Hyndman and Fan).

    Source: Hyndman and Fan, Sample Quantiles in Statistical Packages, Am. Stat. 50 (1996). Values of one bin are
    taken as evenly spread over it.
    """
    place = (sum(item.count for item in ordered) - 1) * share
    below = math.floor(place)
    lower, upper = _value_at(ordered, below), _value_at(ordered, math.ceil(place))
    return lower + (upper - lower) * (place - below)


def rounded(value: float) -> float:
    """As reports show it: what lies beyond is noise of the arithmetic."""
    return round(value, _DIGITS)


def _value_at(ordered: Sequence[Bin], place: int) -> float:
    for item in ordered:
        if place < item.count:
            return item.lowest + (item.highest - item.lowest) * (place / (item.count - 1) if item.count > 1 else 0.0)
        place -= item.count
    raise IndexError(place)
