"""Finds or starts the broker. What cannot be had is said in KafkaUnavailable, and the tests skip with it."""

import asyncio
import base64
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

if TYPE_CHECKING:
    from tests.support.kafka_broker.locks import Locks

_HERE = Path(__file__).resolve().parent
_JARS = _HERE.parents[2] / ".cache" / "kafka-jars"
# Sixteen bytes in base64, always the same: a random one may begin with "-", which Kafka takes for an option.
_CLUSTER_ID = base64.urlsafe_b64encode(b"leadflow's tests").decode().rstrip("=")
_DOWNLOAD_SECONDS = 300
_FORMAT_SECONDS = 60
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0

# Short sessions of broker and groups, and old segments deleted often, so that what a test waits for takes seconds.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{link_listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised_links}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{link_protocols}
inter.broker.listener.name=PLAINTEXT
log.dirs={directory}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=300
auto.create.topics.enable=false
log.initial.task.delay.ms=1000
log.retention.check.interval.ms=2000
log.segment.delete.delay.ms=1000
"""
_LOGGING = """\
org.slf4j.simpleLogger.defaultLogLevel=warn
org.slf4j.simpleLogger.logFile={directory}/broker.log
org.slf4j.simpleLogger.showDateTime=true
org.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS
"""


class KafkaUnavailable(Exception):
    """Why no broker can be had here."""


@dataclass(frozen=True, slots=True)
class BrokerLink:
    """A way to the broker past a proxy: clients are told `advertised_port`, the broker listens on `port`."""

    port: int
    advertised_port: int


class KafkaBroker:
    """One broker at `bootstrap`. Only one that we started can be stopped, started and killed."""

    def __init__(self, bootstrap: str, *, controllable: bool = False) -> None:
        self.bootstrap = bootstrap
        self.controllable = controllable

    @property
    def shortest_session_seconds(self) -> float:
        """The shortest session timeout that the broker lets a group have; Kafka's default is 6 s."""
        return 1.0 if self.controllable else 6.0

    @property
    def pid(self) -> int:
        raise NotImplementedError

    @property
    def data(self) -> Path:
        """Where it keeps its segments, a directory per partition."""
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    def kill(self) -> None:
        raise NotImplementedError


class LocalBroker(KafkaBroker):
    """Broker and controller in one JVM, in a directory and on ports of its own.

    `locks` are further listeners, for clients that have to prove themselves; `links` are proxies before it.
    """

    def __init__(self, jars: Path, directory: Path, locks: "Locks | None" = None, *, links: int = 0) -> None:
        port, controller_port, *link_ports = free_ports(2 + 2 * links)
        self.links = [BrokerLink(*pair) for pair in zip(link_ports[::2], link_ports[1::2], strict=True)]
        super().__init__(f"127.0.0.1:{port}", controllable=True)
        self._directory = directory
        self._classpath = f"{directory}:{jars}/*"
        self._properties = directory / "server.properties"
        self._process: subprocess.Popen[bytes] | None = None
        named = [(f"LINK{number}", link) for number, link in enumerate(self.links)]
        settings = _PROPERTIES.format(
            port=port,
            controller_port=controller_port,
            directory=directory,
            link_listeners="".join(f",{name}://127.0.0.1:{link.port}" for name, link in named),
            advertised_links="".join(f",{name}://127.0.0.1:{link.advertised_port}" for name, link in named),
            link_protocols="".join(f",{name}:PLAINTEXT" for name, _ in named),
        )
        self._properties.write_text(locks.added_to(settings) if locks else settings)
        (directory / "simplelogger.properties").write_text(_LOGGING.format(directory=directory))
        self._format(locks.users() if locks else ())

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def data(self) -> Path:
        return self._directory / "data"

    def start(self) -> None:
        """Return when a client can publish, join a group and read; at once if the broker runs."""
        if self._process is not None:
            return
        command = ["java", "-Xms128m", "-Xmx512m", "-cp", self._classpath, "kafka.Kafka", str(self._properties)]
        with (self._directory / "stdout.log").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + _START_SECONDS
        while not _listens(self.bootstrap):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise KafkaUnavailable(f"the local broker did not start:\n{self.log_tail()}")
            time.sleep(0.05)
        asyncio.run(_wait_until_it_serves(self.bootstrap, deadline))

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def log_tail(self) -> str:
        texts = [
            (self._directory / name).read_text(errors="replace")
            for name in ("broker.log", "stdout.log")
            if (self._directory / name).exists()
        ]
        return "\n".join("\n".join(text.splitlines()[-15:]) for text in texts)

    def _end(self, with_signal: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(with_signal)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)
        self._process = None

    def _format(self, options: Sequence[str]) -> None:
        command = ["java", "-cp", self._classpath, "kafka.tools.StorageTool", "format", "--standalone"]
        _run([*command, "-t", _CLUSTER_ID, "-c", str(self._properties), *options], timeout_seconds=_FORMAT_SECONDS)


@contextmanager
def running_broker(named: str | None) -> Iterator[KafkaBroker]:
    """`named` (host:port) if given, else a container if Docker answers, else a JVM of this machine."""
    if named:
        yield KafkaBroker(named)
    elif _docker_answers():
        with _broker_in_docker() as broker:
            yield broker
    else:
        with broker_on_this_machine() as broker:
            yield broker


@contextmanager
def _broker_in_docker() -> Iterator[KafkaBroker]:
    from testcontainers.kafka import KafkaContainer

    with KafkaContainer("apache/kafka:4.1.0").with_kraft() as container:
        yield KafkaBroker(container.get_bootstrap_server())


@contextmanager
def broker_on_this_machine(locks: "Locks | None" = None, *, links: int = 0) -> Iterator[LocalBroker]:
    """One that only the caller knows, in a JVM; raises KafkaUnavailable where that cannot be.

    It can be stopped and killed, and is reached past `links` proxies, too.
    """
    jars = _jars()
    directory = Path(tempfile.mkdtemp(prefix="leadflow-kafka-"))
    try:
        broker = LocalBroker(jars, directory, locks, links=links)
        try:
            broker.start()
            yield broker
        finally:
            broker.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _jars() -> Path:
    if shutil.which("java") is None:
        raise KafkaUnavailable("no LEADFLOW_TEST_KAFKA, no Docker, no Java 17 to run a broker with")
    complete = _JARS / ".complete"
    wanted = (_HERE / "pom.xml").read_text()
    if complete.exists() and complete.read_text() == wanted:
        return _JARS
    if shutil.which("mvn") is None:
        raise KafkaUnavailable("no LEADFLOW_TEST_KAFKA, no Docker, no Maven to fetch Kafka's jars with")
    shutil.rmtree(_JARS, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(_HERE / "pom.xml"), "dependency:copy-dependencies"]
    options = ["-DincludeScope=runtime", f"-DoutputDirectory={_JARS}"]
    _run([*command, *options], timeout_seconds=_DOWNLOAD_SECONDS)
    complete.write_text(wanted)
    return _JARS


def _run(command: list[str], *, timeout_seconds: float) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=timeout_seconds)
    except subprocess.CalledProcessError as error:
        said = (error.stdout + error.stderr).strip()[-1500:]
        raise KafkaUnavailable(f"{command[0]} failed: {said}") from error
    except subprocess.TimeoutExpired as error:
        raise KafkaUnavailable(f"{command[0]} took longer than {timeout_seconds} s") from error


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=10).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [int(held.getsockname()[1]) for held in sockets]
    finally:
        for held in sockets:
            held.close()


def _listens(bootstrap: str) -> bool:
    host, _, port = bootstrap.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


async def _wait_until_it_serves(bootstrap: str, deadline: float) -> None:
    """An open port is not yet a broker: groups answer only when the offsets topic exists."""
    while True:
        try:
            async with asyncio.timeout(max(1.0, deadline - time.monotonic())):
                await _go_round_once(bootstrap)
            return
        except (KafkaError, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise KafkaUnavailable(f"the broker listens but does not serve: {error!r}") from error
            await asyncio.sleep(0.1)


async def _go_round_once(bootstrap: str) -> None:
    topic = f"readiness-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
        await producer.start()
        try:
            await producer.send_and_wait(topic, b"ready")
        finally:
            await producer.stop()
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=topic, auto_offset_reset="earliest")
        await consumer.start()
        try:
            await consumer.getone()
        finally:
            await consumer.stop()
        await admin.delete_topics([topic])
    finally:
        await admin.close()
