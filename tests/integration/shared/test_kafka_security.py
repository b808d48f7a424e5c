"""Kafka behind TLS, client certificates and passwords: a real broker lets in whom it should, and nobody else."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.errors import LogUnavailable
from shared.log.connect import open_log
from shared.log.protocol import Log, Partition, Record
from shared.settings import Settings
from tests.support.kafka_broker import KafkaUnavailable
from tests.support.kafka_broker.broker import broker_on_this_machine
from tests.support.kafka_broker.locks import PASSWORD, USER, Authority, Locks, an_authority
from tests.support.log_engines import a_topic
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


@dataclass(frozen=True, slots=True)
class LockedBroker:
    authority: Authority
    locks: Locks

    def settings(self, **changes: object) -> Settings:
        """Those of a client with a password, but for `changes`."""
        given = {
            "kafka_bootstrap_servers": self.locks.sasl,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_ca_file": self.authority.file,
            "kafka_username": USER,
            "kafka_password": PASSWORD,
        }
        return Settings.model_validate(given | changes)

    def settings_with_a_certificate(self, **changes: object) -> Settings:
        given = {
            "kafka_bootstrap_servers": self.locks.tls,
            "kafka_security_protocol": "SSL",
            "kafka_ca_file": self.authority.file,
            "kafka_certificate_file": self.authority.issued("client"),
        }
        return Settings.model_validate(given | changes)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedBroker]:
    authority = an_authority(tmp_path_factory.mktemp("authority"))
    locks = Locks(authority)
    try:
        with broker_on_this_machine(locks):
            yield LockedBroker(authority, locks)
    except KafkaUnavailable as reason:
        if os.environ.get("LEADFLOW_TEST_REQUIRE_KAFKA") == "1":  # noqa: TID251 - tests have no settings
            pytest.fail(f"Kafka is required here, but: {reason}")
        pytest.skip(f"no Kafka broker that we can put locks on: {reason}")


@pytest.fixture(autouse=True)
async def connections_end() -> AsyncIterator[None]:
    """TLS says goodbye in turns of the loop: without them a connection would outlive its test."""
    yield
    transports = asyncio.get_running_loop()._transports  # type: ignore[attr-defined]  # asyncio tells nobody

    def all_closed() -> bool:
        return all(transport._sock is None for transport in transports.values())

    await wait_until(all_closed, "every connection is closed", timeout_seconds=60)


async def goes_round(log: Log) -> list[bytes]:
    """What a group reads and a visitor browses of a topic that `log` makes and writes to: every client of it."""
    topic = a_topic(partitions=1)
    await log.start()
    try:
        await log.ensure_topics([topic])
        await log.publish(topic.name, [Record(key=b"lead", value=b"scored")])
        async with log.consume([topic.name], group=topic.name, member="tests") as consumer:
            read = list(await consumer.poll(max_records=1, timeout_seconds=30))
        browsed = list(await log.browse(Partition(topic.name, 0), offset=0, max_records=1))
    finally:
        await log.stop()
    return [record.value for record in read + browsed]


async def is_refused(settings: Settings) -> str:
    log = open_log(settings, None)
    with pytest.raises(LogUnavailable) as refusal:
        await log.start()
    await log.stop()
    return str(refusal.value)


async def test_a_client_with_a_password_publishes_and_reads_over_tls(broker: LockedBroker) -> None:
    assert await goes_round(open_log(broker.settings(), None)) == [b"scored", b"scored"]


async def test_a_client_with_a_certificate_publishes_and_reads(broker: LockedBroker) -> None:
    assert await goes_round(open_log(broker.settings_with_a_certificate(), None)) == [b"scored", b"scored"]


async def test_a_wrong_password_is_refused_and_stands_in_no_message(broker: LockedBroker) -> None:
    said = await is_refused(broker.settings(kafka_password="battery staple"))

    assert "battery" not in said


async def test_a_client_without_a_certificate_is_refused_where_one_is_asked_for(broker: LockedBroker) -> None:
    await is_refused(broker.settings_with_a_certificate(kafka_certificate_file=None))


async def test_a_broker_of_an_unknown_authority_is_not_spoken_to(broker: LockedBroker, tmp_path: Path) -> None:
    stranger = an_authority(tmp_path, "stranger")

    await is_refused(broker.settings(kafka_ca_file=stranger.file))


async def test_a_client_without_tls_is_refused(broker: LockedBroker) -> None:
    plain = Settings.model_validate({"kafka_bootstrap_servers": broker.locks.sasl})

    await is_refused(plain)
