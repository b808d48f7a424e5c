"""How far leadflow is with what it was sent, as /metrics tells it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from shared.errors import TransientError

_POLL_SECONDS: Final = 0.3
_CALM_SECONDS: Final = 2.0
_LONGEST_WAIT_SECONDS: Final = 180.0

_SCORED: Final = "leadflow_scoring_events_total"
_BACKLOGS: Final = ("leadflow_outbox_depth", "leadflow_consumer_lag_records")
_MOVING: Final = (
    _SCORED,
    "leadflow_scoring_score_changes_total",
    "leadflow_pipeline_messages_total",
    "leadflow_webhook_deliveries_total",
)

Condition = Callable[[], Awaitable[bool]]
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at /metrics: every sample, by metric and labels."""

    samples: Mapping[tuple[str, Labels], float]

    def by_label(self, metric: str, label: str, *, since: "Reading | None" = None) -> Counter[str]:
        """What a metric shows (since another reading), by one of its labels."""
        found: Counter[str] = Counter()
        for (name, labels), value in self.samples.items():
            if name == metric:
                before = since.samples.get((name, labels), 0.0) if since else 0.0
                found[dict(labels).get(label, "")] += int(value - before)
        return found

    def total(self, metric: str, *, since: "Reading | None" = None) -> int:
        """The sum over all labels."""
        return self.by_label(metric, "", since=since).total()


async def read(client: httpx.AsyncClient) -> Reading:
    """Look now."""
    response = await client.get("/metrics")
    families = text_string_to_metric_families(response.text)
    samples = [sample for family in families for sample in family.samples]
    return Reading({(sample.name, tuple(sample.labels.items())): sample.value for sample in samples})


async def until_ready(client: httpx.AsyncClient) -> None:
    """Return when leadflow says that it can do its work."""
    await _until(lambda: _is_ready(client), "ready")


async def until_through(
    client: httpx.AsyncClient, delivers: Condition, *, expected: int = 0, since: Reading | None = None
) -> Reading:
    """Return when `expected` more events have been taken up, nothing waits and nothing has moved for a while.

    `delivers` tells whether webhooks are on their way; with nothing expected, what an earlier run left is through.
    """
    last: tuple[int, ...] = ()
    moved_at = monotonic()
    reading = Reading({})

    async def through() -> bool:
        nonlocal last, moved_at, reading
        reading = await read(client)
        now = tuple(reading.total(metric) for metric in _MOVING)
        if now != last:
            last, moved_at = now, monotonic()
        taken = reading.total(_SCORED, since=since) >= expected
        idle = not any(reading.total(backlog) for backlog in _BACKLOGS)
        return taken and idle and monotonic() - moved_at > _CALM_SECONDS and not await delivers()

    await _until(through, "through with everything")
    return reading


async def _is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).is_success


async def _until(condition: Condition, what: str) -> None:
    try:
        async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
            while not await condition():  # noqa: ASYNC110 - another process would poll too
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise TransientError(
            f"leadflow is not {what} after {_LONGEST_WAIT_SECONDS:.0f} s: see its log above"
        ) from None
