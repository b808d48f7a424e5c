"""Whether groups differ, or only look as if they did."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from services.pipeline.domain.reports.distributions import chi_square_tail, fisher_exact
from services.pipeline.domain.reports.estimates import Rate, rate_of, rounded

LEVEL: Final = 0.05
_LEAST_EXPECTED: Final = 5

Verdict = Literal["differ", "within_noise", "too_few"]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of a group: `successes` of `trials`."""

    group: str | None
    successes: int
    trials: int


@dataclass(frozen=True, slots=True)
class Contrast:
    """One group against all the others together; `p_value` is corrected for how many were looked at."""

    group: str | None
    rate: Rate
    rest: Rate
    p_value: float
    verdict: Literal["above", "below", "within_noise"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether the rate of `of` differs between groups.

    `pooled` groups were too small to be tested alone and were tested as one.
    """

    of: str
    groups: int
    pooled: int
    test: Literal["chi_square", "fisher_exact"] | None
    statistic: float | None
    degrees: int | None
    p_value: float | None
    verdict: Verdict
    words: str
    contrasts: tuple[Contrast, ...]


def compare(of: str, outcomes: Sequence[Outcomes]) -> Comparison:
    """The comparison of groups by the share of `successes`.

    Pearson's chi-square (Philosophical Magazine 50, 1900) on a table in which no expected count is below five
    (Cochran, Biometrics 10, 1954), Fisher's exact test where two small groups are left; each group against the
    rest likewise, with the correction of Holm (Scand. J. Statist. 6, 1979).
    """
    tried = [item for item in outcomes if item.trials > 0]
    table = _pooled(tried)
    p_value, statistic, test = _overall(table)
    verdict = _verdict(p_value)
    return Comparison(
        of=of,
        groups=len(tried),
        pooled=len(tried) - len(table) + 1 if len(table) < len(tried) else 0,
        test=test,
        statistic=None if statistic is None else rounded(statistic),
        degrees=len(table) - 1 if test == "chi_square" else None,
        p_value=None if p_value is None else rounded(p_value),
        verdict=verdict,
        words=_words(of, len(tried), p_value),
        contrasts=_contrasts(tried) if p_value is not None else (),
    )


def corrected(p_values: Sequence[float]) -> list[float]:
    """p-values of a family of tests, so that all verdicts together are wrong with 5 % at most (Holm)."""
    found = [0.0] * len(p_values)
    least = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[index]))
        found[index] = least
    return found


def _pooled(tried: Sequence[Outcomes]) -> list[tuple[int, int]]:
    """(successes, trials) of each group; those that may not be expected to show five of both are put together."""
    table = sorted(((item.successes, item.trials) for item in tried), key=lambda item: item[1])
    if len(table) == 2:
        return table
    successes, trials = sum(won for won, _ in table), sum(size for _, size in table)
    least = _LEAST_EXPECTED * trials / max(1, min(successes, trials - successes))
    won = size = 0
    while table and (table[0][1] < least or 0 < size < least):
        one, its_size = table.pop(0)
        won, size = won + one, size + its_size
    return [*table, (won, size)] if size else table


def _overall(
    table: Sequence[tuple[int, int]],
) -> tuple[float | None, float | None, Literal["chi_square", "fisher_exact"] | None]:
    trials, successes = sum(size for _, size in table), sum(won for won, _ in table)
    if len(table) < 2 or successes in {0, trials}:
        return None, None, None
    if len(table) == 2 and _is_small(table[0][1], table[1][1], successes):
        return fisher_exact(*table[0], *table[1]), None, "fisher_exact"
    statistic = _chi_square(table)
    return chi_square_tail(statistic, len(table) - 1), statistic, "chi_square"


def _chi_square(table: Sequence[tuple[int, int]]) -> float:
    trials, successes = sum(size for _, size in table), sum(won for won, _ in table)
    share = successes / trials
    return sum((won - size * share) ** 2 / (size * share * (1 - share)) for won, size in table)


def _contrasts(tried: Sequence[Outcomes]) -> tuple[Contrast, ...]:
    successes, trials = sum(item.successes for item in tried), sum(item.trials for item in tried)
    rests = [(successes - item.successes, trials - item.trials) for item in tried]
    p_values = [_pair(item, rest) for item, rest in zip(tried, rests, strict=True)]
    # Of two groups each is the rest of the other: that is one test.
    p_values = corrected(p_values) if len(tried) > 2 else p_values
    return tuple(_contrast(item, rest, p_value) for item, rest, p_value in zip(tried, rests, p_values, strict=True))


def _contrast(item: Outcomes, rest: tuple[int, int], p_value: float) -> Contrast:
    is_above = item.successes * rest[1] > rest[0] * item.trials
    return Contrast(
        group=item.group,
        rate=rate_of(item.successes, item.trials),
        rest=rate_of(*rest),
        p_value=rounded(p_value),
        verdict="within_noise" if p_value >= LEVEL else "above" if is_above else "below",
    )


def _pair(item: Outcomes, rest: tuple[int, int]) -> float:
    if _is_small(item.trials, rest[1], item.successes + rest[0]):
        return fisher_exact(item.successes, item.trials, *rest)
    return chi_square_tail(_chi_square([(item.successes, item.trials), rest]), 1)


def _is_small(one: int, other: int, successes: int) -> bool:
    trials = one + other
    return min(one, other) * min(successes, trials - successes) < _LEAST_EXPECTED * trials


def _verdict(p_value: float | None) -> Verdict:
    if p_value is None:
        return "too_few"
    return "differ" if p_value < LEVEL else "within_noise"


def _words(of: str, groups: int, p_value: float | None) -> str:
    if p_value is None:
        return f"too few to compare {of}"
    shown = "p < 0.0001" if p_value < 0.0001 else f"p = {p_value:.4f}"
    if p_value < LEVEL:
        return f"{of} differs between the {groups} groups ({shown})"
    return f"differences in {of} between the {groups} groups are within noise ({shown})"
