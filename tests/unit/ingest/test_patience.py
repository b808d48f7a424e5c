"""How long a sender is kept waiting for a log that says nothing."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from services.ingest.api.webhooks import elements_of
from services.ingest.kinds import customerio
from services.ingest.kinds.kind import Traits, traits_of
from services.ingest.kinds.registry import KINDS
from services.ingest.metrics import EVENTS, Fate
from services.ingest.publisher import Publisher, PublisherLimits
from services.ingest.service import Ingest
from shared.errors import LogUnavailable
from shared.events.json import JsonLimits, parse_json
from shared.log.protocol import Log, Record
from tests.support.deliveries import NOON, a_delivery, a_source
from tests.support.webhooks import examples

EXAMPLE = examples(NOON)["customerio"]
COME_ONCE = {"activecampaign", "marketo", "mautic"}
# Segment, HubSpot and Intercom; Customer.io has less, and the others more.
WAITS_SECONDS = dict.fromkeys(KINDS, 5.0) | {"customerio": 4.0}


class SilentLog:
    """Takes everything, and never says so."""

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        await asyncio.Event().wait()


def ingest_on(log: object) -> Ingest:
    limits = PublisherLimits(waiting_records=10, waiting_bytes=10_000)
    return Ingest(Publisher(cast("Log", log), "events", limits), JsonLimits(), max_event_bytes=10_000)


@pytest.mark.parametrize("kind", KINDS)
def test_every_platform_is_answered_before_it_gives_up(kind: str) -> None:
    assert traits_of(KINDS[kind]).patience_seconds < WAITS_SECONDS[kind]


class StutteringLog:
    """Takes nothing twice, and then everything."""

    def __init__(self) -> None:
        self.taken: list[Record] = []
        self._refusals_left = 2

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        if self._refusals_left:
            self._refusals_left -= 1
            raise LogUnavailable("away", outcome_unknown=False)
        self.taken.extend(records)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_comes_only_once_is_tried_again_and_all_else_is_left_to_its_sender(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ingest.service._PAUSE_SECONDS", 0)
    log, example = StutteringLog(), examples(NOON)[kind]
    delivery, source = a_delivery(example), a_source(kind, example.secret, public_url=example.public_url)
    accepted = ingest_on(log).accept_delivery(elements_of(KINDS[kind], delivery, 10), KINDS[kind], delivery, source)

    if kind in {"activecampaign", "marketo", "mautic"}:
        await accepted
        assert len(log.taken) == 1
    else:
        with pytest.raises(LogUnavailable):
            await accepted
        assert log.taken == []


async def test_a_log_that_says_nothing_is_unavailable_in_the_senders_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(customerio, "TRAITS", Traits(patience_seconds=0.01))
    unavailable = EVENTS.labels("customerio", Fate.UNAVAILABLE)._value
    before = unavailable.get()

    with pytest.raises(LogUnavailable) as trouble:
        await ingest_on(SilentLog()).accept_delivery(
            [parse_json(EXAMPLE.body)], customerio, a_delivery(EXAMPLE), a_source("customerio", EXAMPLE.secret)
        )

    assert trouble.value.outcome_unknown
    assert unavailable.get() == before + 1
