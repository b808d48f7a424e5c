"""The few distributions that intervals and comparisons need, from their textbook expansions."""

import math
from typing import Final

_PRECISION: Final = 1e-15
_SMALLEST: Final = 1e-300
_MOST_TERMS: Final = 10_000


def chi_square_tail(statistic: float, degrees: int) -> float:
    """Probability that a chi-square variable with `degrees` of freedom is at least `statistic`.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.4.19 with 6.5.29 and 6.5.31.
    """
    if statistic <= 0:
        return 1.0
    shape, x = degrees / 2, statistic / 2
    scale = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    return 1.0 - scale * _gamma_series(shape, x) if x < shape + 1 else scale * _gamma_fraction(shape, x)


def fisher_exact(successes: int, trials: int, other_successes: int, other_trials: int) -> float:
    """Two-sided p-value of two rates being one: the tables with these margins that are no likelier than this one.

    Source: Fisher, Statistical Methods for Research Workers, 1934; two-sided as in Agresti, Categorical Data
    Analysis, 3.5.
    """
    total, won = trials + other_trials, successes + other_successes
    lowest, highest = max(0, won - other_trials), min(trials, won)
    weights = [_log_choose(trials, k) + _log_choose(other_trials, won - k) for k in range(lowest, highest + 1)]
    whole = _log_choose(total, won)
    observed = weights[successes - lowest]
    # Equally likely tables differ in their last digits.
    return min(1.0, math.fsum(math.exp(weight - whole) for weight in weights if weight <= observed + 1e-7))


def student_quantile(degrees: int) -> float:
    """The t that a Student variable exceeds in magnitude with a probability of 5 %.

    Source: Abramowitz and Stegun, 26.5.27 for the distribution; solved by bisection.
    """
    low, high = 0.0, 13.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_tails(middle, degrees) > 0.05 else (low, middle)
    return (low + high) / 2


def _student_tails(t: float, degrees: int) -> float:
    return _beta_ratio(degrees / (degrees + t * t), degrees / 2, 0.5)


def _gamma_series(shape: float, x: float) -> float:
    term = total = 1.0 / shape
    for n in range(1, _MOST_TERMS):
        term *= x / (shape + n)
        total += term
        if term < total * _PRECISION:
            break
    return total


def _gamma_fraction(shape: float, x: float) -> float:
    """By the modified method of Lentz (Thompson and Barnett, J. Comput. Phys. 64, 1986)."""
    b = x + 1 - shape
    c, d = 1 / _SMALLEST, 1 / b
    found = d
    for n in range(1, _MOST_TERMS):
        a, b = -n * (n - shape), b + 2
        d, c = 1 / _apart(a * d + b), _apart(b + a / c)
        found *= d * c
        if abs(d * c - 1) < _PRECISION:
            break
    return found


def _beta_ratio(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, 26.5.8."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta_ratio(1 - x, b, a)
    scale = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    return scale * _beta_fraction(x, a, b) / a


def _beta_fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _apart(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, _MOST_TERMS):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / _apart(1 + step * d), _apart(1 + step / c)
            found *= d * c
        if abs(d * c - 1) < _PRECISION:
            break
    return found


def _apart(value: float) -> float:
    return value if abs(value) > _SMALLEST else _SMALLEST


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
