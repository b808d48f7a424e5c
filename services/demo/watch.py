"""How far leadflow is with what it was sent, as /metrics tells it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from services.demo.play import Tally
from services.demo.subscriber import Subscriber
from shared.errors import TransientError

_POLL_SECONDS: Final = 0.1
_CALM_SECONDS: Final = 2.0
_LONGEST_WAIT_SECONDS: Final = 180.0

_SCORED: Final = "leadflow_scoring_events_total"
_BACKLOGS: Final = ("leadflow_outbox_depth", "leadflow_consumer_lag_records", "leadflow_webhook_queue_depth")
_MOVING: Final = (
    _SCORED,
    "leadflow_scoring_score_changes_total",
    "leadflow_pipeline_messages_total",
    "leadflow_webhook_deliveries_total",
)

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


async def until_calm(client: httpx.AsyncClient, subscriber: Subscriber) -> Reading:
    """Return when nothing waits and nothing has moved for a while: what an earlier run left is through, too."""
    return await _until_through(client, subscriber, Reading({}), 0)


async def until_through(
    client: httpx.AsyncClient, subscriber: Subscriber, *, tally: Tally, since: Reading
) -> Reading:
    """Return when everything that was accepted has been scored, told and delivered."""
    return await _until_through(client, subscriber, since, tally.published)


async def _until_through(client: httpx.AsyncClient, subscriber: Subscriber, since: Reading, expected: int) -> Reading:
    last: tuple[int, ...] = ()
    moved_at = monotonic()
    reading = since

    async def calm() -> bool:
        nonlocal last, moved_at, reading
        reading = await read(client)
        now = (*(reading.total(metric) for metric in _MOVING), subscriber.verified.total())
        if now != last:
            last, moved_at = now, monotonic()
        taken = reading.total(_SCORED, since=since) >= expected
        idle = not any(reading.total(backlog) for backlog in _BACKLOGS)
        return taken and idle and monotonic() - moved_at > _CALM_SECONDS

    await _until(calm, "through with everything")
    return reading


async def _is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).is_success


async def _until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
            while not await condition():  # noqa: ASYNC110 - another process would poll too
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise TransientError(
            f"leadflow is not {what} after {_LONGEST_WAIT_SECONDS:.0f} s: see its log above"
        ) from None
