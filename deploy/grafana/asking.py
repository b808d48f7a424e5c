"""The few forms in which panels ask: always of the chosen job and instance, and the rate before the sum."""

from typing import Final

from deploy.grafana.layout import Query

CHOSEN: Final = 'job=~"$job", instance=~"$instance"'
_WINDOW: Final = "[$__rate_interval]"


def of(metric: str, where: str = "") -> str:
    """The series of `metric` that are chosen; `where` are more matchers."""
    return f"{metric}{{{CHOSEN}{', ' if where else ''}{where}}}"


def rate(metric: str, where: str = "") -> str:
    """How fast a counter grows, per second and series."""
    return f"rate({of(metric, where)}{_WINDOW})"


def summed(expression: str, by: str = "") -> str:
    return f"sum{_by(by)} ({expression})"


def greatest(metric: str, by: str = "", where: str = "") -> str:
    """Of what every process of a service says alike, or of which the worst counts."""
    return f"max{_by(by)} ({of(metric, where)})"


def rates(metric: str, by: str, where: str = "") -> tuple[Query, ...]:
    """A counter per second, a series for each value of `by`."""
    return (Query(summed(rate(metric, where), by), _legend(by)),)


def busy(metric: str, by: str, where: str = "") -> tuple[Query, ...]:
    """The same without those that do nothing, where `by` has many values."""
    return (Query(f"{summed(rate(metric, where), by)} > 0", _legend(by)),)


def increases(metric: str, by: str, where: str = "") -> tuple[Query, ...]:
    """The same as a number within each step, for what happens seldom."""
    return (Query(summed(f"increase({of(metric, where)}{_WINDOW})", by), _legend(by)),)


def gauges(metric: str, by: str, where: str = "") -> tuple[Query, ...]:
    return (Query(greatest(metric, by, where), _legend(by)),)


def quantile(part: float, histogram: str, by: str = "", where: str = "") -> str:
    """The value that a `part` of the observations do not exceed."""
    buckets = summed(rate(f"{histogram}_bucket", where), f"{by}, le" if by else "le")
    return f"histogram_quantile({part:g}, {buckets})"


def spread(histogram: str, by: str = "", where: str = "") -> tuple[Query, ...]:
    """The middle, and what one in a hundred exceeds."""
    name = f"{_legend(by)} " if by else ""
    return tuple(
        Query(quantile(part, histogram, by, where), f"{name}{label}") for part, label in ((0.5, "p50"), (0.99, "p99"))
    )


def mean(histogram: str, by: str = "") -> str:
    return f"{summed(rate(f'{histogram}_sum'), by)} / {summed(rate(f'{histogram}_count'), by)}"


def share(part: str, whole: str) -> str:
    """One of the other; nothing where there is no whole."""
    return f"{part} / ({whole} > 0)"


def _by(by: str) -> str:
    return f" by ({by})" if by else ""


def _legend(by: str) -> str:
    return " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
