"""Ingest over HTTP, durable: what a server process can take for each second of processor that it uses.

Rates are per second of the server's processor, not of the clock: a load generator in Python on the other core is
slower than the bare server, and what else a shared machine does would count as leadflow's.
"""

import json
import time
from collections.abc import Mapping
from datetime import datetime
from random import Random
from typing import Any

import msgspec

from benchmarks import workload
from benchmarks.bench.figures import Figure, Measured, Rounds
from benchmarks.bench.load import request, send
from benchmarks.bench.machine import processor_seconds
from benchmarks.bench.processes import Installation, Process, probe, service
from shared.events.engagement import EngagementEvent

SINGLE = Figure("single webhook, durable 202", "requests/s", floor=0.12, aim=0.25, probe="raw ASGI POST, drained")
BATCH = Figure("batches of 500, durable", "events/s", floor=0.12, aim=0.25, probe="msgspec decode of the batch")

# Of single events, and of batches, of which more at once would be told to come again: only so much waits for the log.
_CONNECTIONS, _BATCH_CONNECTIONS = 64, 16
_PATH = "/v1/events"
# The probe is done with a request in a fifth of the time.
_PROBED_MORE = 5


class _Lead(msgspec.Struct, gc=False):
    email: str


class _Item(msgspec.Struct, gc=False):
    """What the probe decodes an item into, as typed as leadflow must have it: ids and types are free texts."""

    id: str
    type: str
    source: str
    occurred_at: datetime
    lead: _Lead
    properties: dict[str, Any]
    attributes: dict[str, Any] = {}


_DECODE = msgspec.json.Decoder(list[_Item]).decode


class Events:
    """Distinct events, as a website sends them."""

    def __init__(self) -> None:
        self._random = Random(23)  # noqa: S311 - a workload, not a secret
        self._number = 0

    def bodies(self, count: int, size: int) -> list[bytes]:
        """`count` bodies of `size` items each; one item comes as an object alone."""
        return [self._body(size) for _ in range(count)]

    def _body(self, size: int) -> bytes:
        items = [self._item() for _ in range(size)]
        return json.dumps(items if size > 1 else items[0], separators=(",", ":")).encode()

    def _item(self) -> Mapping[str, object]:
        self._number += 1
        return as_item(workload.an_accepted_event(self._random, self._number % 50_000))


def as_item(event: EngagementEvent) -> Mapping[str, object]:
    """An event as a sender writes it."""
    return {
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "occurred_at": event.occurred_at.isoformat(),
        "lead": {"email": event.lead.email},
        "properties": event.properties,
        "attributes": event.attributes,
    }


async def measure_ingest(installation: Installation, *, rounds: int, singles: int, batches: int) -> list[Measured]:
    """Single events and batches, each beside its probe."""
    events, single, batch = Events(), Rounds(SINGLE), Rounds(BATCH)
    async with service(installation, "ingest") as server, probe(installation.directory) as nothing:
        await _post(server, installation, events.bodies(200, 1), _CONNECTIONS)
        await _post(nothing, installation, events.bodies(200, 1), _CONNECTIONS)
        for _ in range(rounds):
            bodies = events.bodies(singles, 1)
            probed = await _rate(nothing, installation, bodies * _PROBED_MORE, 1)
            single.add(await _rate(server, installation, bodies, 1), probed)
            bodies = events.bodies(batches, 500)
            batch.add(await _rate(server, installation, bodies, 500), _decoding_rate(bodies, 500))
    single.note = f"{_CONNECTIONS} connections, per second of the server's processor; the log is the embedded one"
    batch.note = f"{_BATCH_CONNECTIONS} connections"
    return [single.measured(), batch.measured()]


async def _rate(process: Process, installation: Installation, bodies: list[bytes], events_each: int) -> float:
    """Events a second of the server's processor."""
    connections = _CONNECTIONS if events_each == 1 else _BATCH_CONNECTIONS
    began = processor_seconds(process.pid)
    await _post(process, installation, bodies, connections)
    return len(bodies) * events_each / (processor_seconds(process.pid) - began)


async def _post(process: Process, installation: Installation, bodies: list[bytes], connections: int) -> None:
    requests = [request(process.port, _PATH, body, installation.headers) for body in bodies]
    load = await send(process.port, requests, connections=connections)
    if load.refused:
        raise RuntimeError(f"{load.refused} of {len(bodies)} requests were not taken")


def _decoding_rate(bodies: list[bytes], events_each: int) -> float:
    began = time.process_time()
    for body in bodies:
        _DECODE(body)
    return len(bodies) * events_each / (time.process_time() - began)
