"""How long a sender is kept waiting for a log that says nothing."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from services.ingest.metrics import EVENTS, Fate
from services.ingest.publisher import Publisher, PublisherLimits
from services.ingest.service import Ingest
from services.ingest.sources import customerio
from services.ingest.sources.kind import Traits, traits_of
from services.ingest.sources.registry import KINDS
from shared.errors import LogUnavailable
from shared.events.json import JsonLimits, parse_json
from shared.log.protocol import Log, Record
from tests.support.deliveries import NOON, a_delivery, a_source
from tests.support.webhooks import examples

EXAMPLE = examples(NOON)["customerio"]
# Segment, HubSpot and Intercom; Customer.io has less, and the others more.
WAITS_SECONDS = dict.fromkeys(KINDS, 5.0) | {"customerio": 4.0}


class SilentLog:
    """Takes everything, and never says so."""

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize("kind", KINDS)
def test_every_platform_is_answered_before_it_gives_up(kind: str) -> None:
    assert traits_of(KINDS[kind]).patience_seconds < WAITS_SECONDS[kind]


async def test_a_log_that_says_nothing_is_unavailable_in_the_senders_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(customerio, "TRAITS", Traits(patience_seconds=0.01))
    limits = PublisherLimits(waiting_records=10, waiting_bytes=10_000)
    ingest = Ingest(Publisher(cast("Log", SilentLog()), "events", limits), JsonLimits(), max_event_bytes=10_000)
    unavailable = EVENTS.labels("customerio", Fate.UNAVAILABLE)._value
    before = unavailable.get()

    with pytest.raises(LogUnavailable) as trouble:
        await ingest.accept_delivery(
            [parse_json(EXAMPLE.body)], customerio, a_delivery(EXAMPLE), a_source("customerio", EXAMPLE.secret)
        )

    assert trouble.value.outcome_unknown
    assert unavailable.get() == before + 1
