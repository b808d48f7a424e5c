"""Webhooks to one healthy receiver of this machine: signed, sent, and each attempt written down.

Both are timed by the clock, because both wait for the receiver, and deliveries for PostgreSQL as well. The probe does
what no webhook can do with less: it posts the same bytes, by the same client and as many at once, and forgets them.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from uuid import UUID, uuid4, uuid5

from sqlalchemy import text

from benchmarks.bench.figures import Figure, Measured, Rounds
from benchmarks.bench.processes import Installation, probe
from services.pipeline.delivery.address import AddressGuard
from services.pipeline.delivery.endpoint import EndpointPolicy
from services.pipeline.delivery.schedule import STANDARD
from services.pipeline.delivery.sender import Sender
from services.pipeline.settings import PipelineSettings
from services.pipeline.subscriptions import managing
from services.pipeline.subscriptions.dispatcher import Dispatcher
from services.pipeline.subscriptions.fanout import fan_out_for
from services.pipeline.subscriptions.managing import Wish
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.events.codec import AnyMessage, decode, encode

DELIVERIES = Figure("webhook deliveries to one receiver", "deliveries/s", probe="bare POSTs of the same bytes")

_EXAMPLE = Path(__file__).parents[2] / "shared" / "events" / "examples" / "lead.score_changed.v1.json"
_NAMESPACE = UUID("5f0c9a52-3f0e-4a53-9a55-0e6d0a3b7c14")
_WORKSPACE = "default"
_LOOK_SECONDS = 0.02
_PENDING = text("SELECT EXISTS (SELECT FROM pipeline.delivery WHERE state = 'pending')")


async def measure_deliveries(installation: Installation, *, rounds: int, messages: int, leads: int) -> list[Measured]:
    """So many messages a round about so many leads, until all are delivered and that is written down."""
    database, settings, measured = installation.database, PipelineSettings(), Rounds(DELIVERIES)
    guard = AddressGuard(allow_private=True, allow_http=True)
    async with probe(installation.directory) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/"
        await managing.create(database, SystemClock(), guard, _WORKSPACE, Wish(url, ("lead.score_changed",), None))
        for _ in range(rounds):
            bodies = await _tell(database, messages, leads)
            delivering = await _delivery_rate(database, _sender(guard, settings), settings, messages)
            measured.add(delivering, await _post_rate(url, _sender(guard, settings), settings, bodies))
    in_the_air = settings.webhook_concurrency_per_subscription
    measured.note = f"{messages:,} messages about {leads:,} leads, {in_the_air} in the air"
    return [measured.measured()]


def _sender(guard: AddressGuard, settings: PipelineSettings) -> Sender:
    return Sender(guard, timeout_seconds=settings.webhook_timeout_seconds, connections=settings.webhook_concurrency)


async def _tell(database: Database, messages: int, leads: int) -> Sequence[bytes]:
    """Queue the deliveries as the pipeline does; returns what each receiver is to get."""
    example = decode(_EXAMPLE.read_bytes())
    told = [(message, encode(message)) for message in _about_leads(example, messages, leads)]
    async with database.transaction(ALL_WORKSPACES) as connection:
        fan_out = await fan_out_for(connection, [_WORKSPACE], SystemClock().now())
        for message, body in told:
            fan_out.add(message, body)
        await fan_out.write(connection)
    return [body for _, body in told]


def _about_leads(example: AnyMessage, messages: int, leads: int) -> Iterator[AnyMessage]:
    for number in range(messages):
        subject = str(uuid5(_NAMESPACE, str(number % leads)))
        yield example.model_copy(update={"id": str(uuid4()), "subject": subject, "workspace": _WORKSPACE})


async def _delivery_rate(database: Database, sender: Sender, settings: PipelineSettings, messages: int) -> float:
    dispatcher = Dispatcher(
        database,
        SystemClock(),
        sender,
        settings=settings,
        schedule=STANDARD,
        policy=EndpointPolicy(),
        random=Random(19),  # noqa: S311 - the jitter of pauses that nobody needs here
        holder=uuid4(),
    )
    stop, began = asyncio.Event(), time.perf_counter()
    running = asyncio.create_task(dispatcher.run(stop))
    try:
        while await _is_pending(database):  # noqa: ASYNC110 - PostgreSQL is asked
            await asyncio.sleep(_LOOK_SECONDS)
        return messages / (time.perf_counter() - began)
    finally:
        stop.set()
        await running


async def _is_pending(database: Database) -> bool:
    async with database.transaction(ALL_WORKSPACES) as connection:
        return bool(await connection.scalar(_PENDING))


async def _post_rate(url: str, sender: Sender, settings: PipelineSettings, bodies: Sequence[bytes]) -> float:
    """POSTs a second, as many at once as a receiver gets deliveries."""
    left, began = iter(bodies), time.perf_counter()

    async def post_what_is_left() -> None:
        for body in left:
            await sender.send(url, {}, body)

    await asyncio.gather(*(post_what_is_left() for _ in range(settings.webhook_concurrency_per_subscription)))
    rate = len(bodies) / (time.perf_counter() - began)
    await sender.close()
    return rate
