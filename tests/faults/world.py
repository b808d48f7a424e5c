"""One installation for one scenario: a database, a log, services, a subscriber, a load, and the way back to quiet."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import httpx
from sqlalchemy.engine import make_url

from shared.access.keys import NewKey
from shared.access.principal import Scope
from shared.access.repository import KeyRepository
from shared.db.engine import Database
from shared.errors import LeadflowError
from shared.log.connect import open_log
from shared.log.protocol import Log
from shared.settings import Settings
from tests.faults.counters import Counters
from tests.faults.ledger import Event, Ledger, Outcome
from tests.faults.processes import Process, Supervisor, Tree, inherited
from tests.faults.recovery import Recovery
from tests.faults.servers import Servers
from tests.faults.story import MODEL, PIPELINE, Size, events
from tests.support.receiver import Receiver, receiving
from tests.support.waiting import wait_until

SESSION_SECONDS = 6.0
# With nothing moving (the third attempt of a webhook is made five minutes after the second), and at most: a machine
# that others use is slow, and still gets there.
_UNMOVED_SECONDS = 360.0
_LONGEST_SECONDS = 1200.0
_REQUEST_SECONDS = 20.0
# What the harness itself asks of database and log may take longer than what a service asks.
_OWN_SECONDS = 30.0
_AGAIN_SECONDS = 0.1
_SENDING_SECONDS = 240.0
_COMMAND_SECONDS = 120.0
_MOST_TRIES = 10_000
# What has come to rest may be judged once this much more of what time alone does was told.
_SOON = timedelta(seconds=5)
# Small batches, so that there are many commits to die between.
_SERVICES = {
    "LEADFLOW_SCORER_BATCH_SIZE": "50",
    "LEADFLOW_PIPELINE_BATCH_RECORDS": "50",
    "LEADFLOW_METRICS_SECONDS": "2",
    "LEADFLOW_LOG_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
    "LEADFLOW_PIPELINE_WEBHOOK_ALLOW_HTTP": "true",
    "LEADFLOW_PIPELINE_WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "true",
    # Short leases, so that what a killed process held is soon sent again; not so short that a slow machine fails.
    "LEADFLOW_PIPELINE_WEBHOOK_TIMEOUT_SECONDS": "8",
    "LEADFLOW_PIPELINE_WEBHOOK_LEASE_SECONDS": "9",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a scenario asks of its world."""

    log: str
    seed: int
    environment: Mapping[str, str] = field(default_factory=dict)
    tree: Tree = field(default_factory=Tree)
    static_members: bool = True

    def chance(self, of: str) -> Random:
        """What is random in one respect: nothing that goes on beside it changes what is drawn."""
        return Random(f"{self.seed} {of}")


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of the harness's own clock, and how many events were scored by then."""

    at: float
    scored: int


@dataclass
class World:
    """What a scenario has in hand. `random` decides what it breaks, `doubts` which senders leave it at that."""

    plan: Plan
    random: Random
    doubts: Random
    servers: Servers
    directory: Path
    database_url: str
    key: NewKey
    supervisor: Supervisor
    sink: Receiver
    ledger: Ledger = field(default_factory=Ledger)
    counters: Counters = field(default_factory=Counters)
    kafka_prefix: str = ""
    scorer_ahead: timedelta = timedelta(0)
    told_until: datetime = field(default_factory=lambda: datetime.now(UTC))
    subscriber_url: str = ""
    environments: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    recoveries: list[Recovery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.subscriber_url = self.subscriber_url or self.sink.url

    @property
    def database_name(self) -> str:
        return str(make_url(self.database_url).database)

    def environment(self, name: str) -> dict[str, str]:
        """What a process of this world is started with."""
        settings = {"LEADFLOW_DATABASE_URL": self.database_url, **_SERVICES}
        if self.plan.log == "kafka":
            assert self.servers.broker is not None
            settings["LEADFLOW_KAFKA_BOOTSTRAP_SERVERS"] = self.servers.broker.bootstrap
            settings["LEADFLOW_KAFKA_PREFIX"] = self.kafka_prefix
        if self.plan.static_members:
            settings["LEADFLOW_INSTANCE"] = name
        return {**settings, **self.plan.environment, **self.environments.get(name, {})}

    def start(self, name: str, *, failpoints: Sequence[str] = (), tree: Tree | None = None) -> Process:
        """Start a process called `<service>-<number>`, of this `tree` if it is another one; not ready yet."""
        command = name.partition("-")[0]
        return self.supervisor.start(name, command, self.environment(name), failpoints=failpoints, tree=tree)

    async def start_services(
        self,
        *more: str,
        failpoints: Mapping[str, Sequence[str]] | None = None,
        trees: Mapping[str, Tree] | None = None,
    ) -> None:
        """One of each service, and those named besides; then the model, the pipeline and the subscription."""
        for name in ("ingest-1", "scorer-1", "pipeline-1", *more):
            self.start(name, failpoints=(failpoints or {}).get(name, ()), tree=(trees or {}).get(name))
        await self.supervisor.all_ready()
        await self._post("scorer", "/v1/models", {"document": MODEL})
        await self._post("pipeline", "/v1/pipelines", {"document": PIPELINE})
        await self._post("pipeline", "/v1/subscriptions", {"url": self.subscriber_url})

    async def command(self, *arguments: str, tree: Tree | None = None, codes: Sequence[int] = (0,)) -> None:
        """Run `leadflow <arguments>` on this installation; fails when it ends with another code."""
        output = self.directory / f"{arguments[0]}.log"
        environment = {**inherited(), **self.environment(arguments[0])}
        process = (tree or self.plan.tree).start(arguments, environment, output=output)
        await wait_until(lambda: process.poll() is not None, arguments[0], timeout_seconds=_COMMAND_SECONDS)
        assert process.poll() in codes, f"leadflow {' '.join(arguments)} failed: {output.read_text()[-2000:]}"

    async def _post(self, service: str, path: str, body: Mapping[str, Any]) -> None:
        async def is_created() -> bool:
            with suppress(httpx.TransportError):
                async with self.client(self.supervisor.of(service)[0]) as client:
                    return (await client.post(path, json=body)).status_code == 201
            return False

        await wait_until(is_created, f"POST {path}", timeout_seconds=60, every_seconds=0.1)

    def client(self, process: Process) -> httpx.AsyncClient:
        """An HTTP client that calls a process."""
        headers = {"Authorization": f"Bearer {self.key.text}"}
        return httpx.AsyncClient(
            base_url=process.base_url, headers=headers, trust_env=False, timeout=_REQUEST_SECONDS
        )

    def events(self, size: Size, *, prefix: str = "") -> Iterator[Event]:
        """The events of this seed, and of this `prefix` of their ids."""
        return events(self.plan.chance(f"events {prefix}"), size, prefix=prefix)

    async def send(
        self,
        events: Iterable[Event],
        *,
        workers: int = 8,
        batch: tuple[int, int] = (1, 20),
        per_second: float | None = None,
        copies: int = 1,
        most_tries: int | None = None,
    ) -> None:
        """Send through HTTP until each event has an outcome.

        A refusal or an unknown outcome is tried again with the same ids, but for one unknown in five, which stays
        unknown. With `most_tries` nothing is left unknown before that many. Each event is sent up to `copies` times.
        """
        queue = iter(self._batches(events, batch, copies))
        started, sent = time.monotonic(), 0

        async def work(number: int) -> None:
            nonlocal sent
            async with self._callers(number) as callers:
                for items in queue:
                    sent += len(items)
                    if per_second is not None:
                        await asyncio.sleep(max(0.0, started + sent / per_second - time.monotonic()))
                    await self._send_until_known(callers, items, most_tries=most_tries)

        async with asyncio.timeout(_SENDING_SECONDS if per_second is None else None):
            await asyncio.gather(*(work(number) for number in range(workers)))

    @asynccontextmanager
    async def _callers(self, first: int) -> AsyncIterator[Callable[[int], httpx.AsyncClient]]:
        """Who to call at an attempt: one ingest after the other, of those that are there by then."""
        clients: dict[str, httpx.AsyncClient] = {}

        def caller(attempt: int) -> httpx.AsyncClient:
            ingests = self.supervisor.of("ingest")
            process = ingests[(first + attempt) % len(ingests)]
            if process.base_url not in clients:
                clients[process.base_url] = self.client(process)
            return clients[process.base_url]

        try:
            yield caller
        finally:
            await asyncio.gather(*(client.aclose() for client in clients.values()))

    def _batches(self, events: Iterable[Event], batch: tuple[int, int], copies: int) -> Iterable[list[Event]]:
        held: list[Event] = []
        chance = self.plan.chance("batches")
        wanted = chance.randint(*batch)
        for event in self._repeated(events, copies):
            self.ledger.add(event)
            held.append(event)
            if len(held) >= wanted:
                yield held
                held, wanted = [], chance.randint(*batch)
        if held:
            yield held

    def _repeated(self, events: Iterable[Event], copies: int) -> Iterable[Event]:
        """Each event, and up to `copies` - 1 further times anywhere within the next hundred."""
        late: list[Event] = []
        chance = self.plan.chance("repetitions")
        for event in events:
            yield event
            late += [event] * chance.randint(0, copies - 1)
            if len(late) > 100:
                chance.shuffle(late)
                while len(late) > 20:
                    yield late.pop()
        yield from late

    async def _send_until_known(
        self, caller: Callable[[int], httpx.AsyncClient], items: Sequence[Event], *, most_tries: int | None
    ) -> None:
        for attempt in range(most_tries or _MOST_TRIES):
            outcome = await self._send_once(caller(attempt), items)
            if outcome is Outcome.OK:
                return
            if outcome is Outcome.UNKNOWN and most_tries is None and self.doubts.random() < 0.2:
                return
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _send_once(self, client: httpx.AsyncClient, items: Sequence[Event]) -> Outcome:
        began = time.monotonic()
        ids = [str(item["id"]) for item in items]
        try:
            answer = await client.post("/v1/events", json=list(items))
        except httpx.TransportError as error:
            self.ledger.answered(type(error).__name__, time.monotonic() - began)
            # Nobody listens: nothing of the request was read.
            outcome = Outcome.FAILED if isinstance(error, httpx.ConnectError) else Outcome.UNKNOWN
            self.ledger.note(ids, outcome)
            return outcome
        self.ledger.answered(str(answer.status_code), time.monotonic() - began)
        if answer.status_code == 202:
            for id_, item in zip(ids, answer.json()["items"], strict=True):
                self.ledger.note([id_], Outcome.OK if item["status"] == "accepted" else Outcome.FAILED)
            return Outcome.OK
        outcome = _outcome_of(answer)
        self.ledger.note(ids, outcome)
        return outcome

    async def slow_commits(self, *, every: int = 97, seconds: float = 0.3) -> None:
        """Let every now and then a commit of the scorer take a while, so that ids commit out of their order."""
        connection = await self.connect()
        try:
            await connection.execute(f"""
                CREATE FUNCTION scorer.dawdle() RETURNS trigger LANGUAGE plpgsql AS
                    'BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END';
                CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON scorer.outbox DEFERRABLE INITIALLY DEFERRED
                    FOR EACH ROW WHEN (NEW.id % {every} = 0) EXECUTE FUNCTION scorer.dawdle();
            """)
        finally:
            await connection.close()

    async def log_in_by_name(self, *names: str) -> None:
        """These processes will be known to PostgreSQL by a name of their own each, who else asks it what they do."""
        for name in names:
            if not await self.query(f"SELECT FROM pg_roles WHERE rolname = '{name}'"):
                await self.query(f'CREATE ROLE "{name}" LOGIN SUPERUSER')
            url = make_url(self.database_url).set(username=name)
            self.environments.setdefault(name, {})["LEADFLOW_DATABASE_URL"] = url.render_as_string()

    async def is_committing(self, name: str) -> bool:
        """Whether a batch of this process, which logs in by name, is in a slow commit that will last a while yet."""
        return bool(
            await self.query(f"""
                SELECT FROM pg_stat_activity JOIN pg_locks USING (pid)
                WHERE usename = '{name}' AND wait_event = 'PgSleep' AND clock_timestamp() - query_start < '0.5 s'
                  AND relation = 'log.handled'::regclass
            """)
        )

    async def connect(self) -> "asyncpg.Connection[Any]":
        """A connection of the harness's own to the database of this world."""
        return await asyncpg.connect(self.database_url)

    async def query(self, statement: str) -> list[Any]:
        """Rows, read past all services."""
        connection = await self.connect()
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    def settings(self) -> Settings:
        """What a process of this world would read from its environment."""
        broker = self.servers.broker if self.plan.log == "kafka" else None
        return Settings(
            database_url=self.database_url,
            kafka_bootstrap_servers=broker.bootstrap if broker else None,
            kafka_prefix=self.kafka_prefix,
            log_publish_timeout_seconds=_OWN_SECONDS,
        )

    async def moment(self) -> Moment:
        """Now, which is when a fault is over."""
        ((scored,),) = await self.query("SELECT count(*) FROM scorer.event")
        return Moment(time.monotonic(), scored)

    async def until_quiet(self, over: Moment | None = None) -> None:
        """Return when nothing is on its way any more, and what time alone did until then, and soon after, was told.

        What moves is waited for; what stands still for long is a broken promise. Notes how long it took until all was
        scored, and told of on the log, since the last fault was `over`: now, unless it is said when.
        """
        over = over or await self.moment()
        await self.supervisor.all_ready()
        left = await self._outwaited(self._behind)
        if not left:
            seconds = time.monotonic() - over.at
            self.recoveries.append(Recovery(seconds, max(0, len(self.ledger.entries) - over.scored)))
        left = left or await self._outwaited(self._on_its_way)
        self.told_until = datetime.now(UTC) + self.scorer_ahead + _SOON
        left = left or await self._outwaited(self._due)
        if left:
            self.violations.append(f"not quiet after {time.monotonic() - over.at:.0f} s: {', '.join(left)}")
            return
        await self.counters.look(self.supervisor.processes)

    @asynccontextmanager
    async def standing_still(self) -> AsyncIterator[None]:
        """Once it is quiet: as long as the block lasts time does nothing to a lead, and nothing is on its way.

        Scorers pass over leads that somebody else has locked, and look again later.
        """
        connection = await self.connect()
        try:
            async with connection.transaction():
                await connection.execute("SELECT FROM scorer.lead FOR UPDATE")
                if not self.violations and (left := await self._outwaited(self._on_its_way)):
                    self.violations.append(f"did not come to rest: {', '.join(left)}")
                yield
        finally:
            await connection.close()

    async def _outwaited(self, look: Callable[[], Awaitable[list[str]]]) -> list[str]:
        """What `look` sees in the end: nothing, or what did not go away."""
        moved = time.monotonic()
        last: list[str] = []

        async def is_over() -> bool:
            nonlocal last, moved
            try:
                found = await look()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, LeadflowError) as error:
                found = [f"{type(error).__name__}: {error}"]
            if found != last:
                last, moved = found, time.monotonic()
            return not last or time.monotonic() - moved > _UNMOVED_SECONDS

        with suppress(AssertionError):
            await wait_until(is_over, "quiet", timeout_seconds=_LONGEST_SECONDS, every_seconds=0.5)
        return last

    async def _on_its_way(self) -> list[str]:
        """In words; empty when all is through. What waits for other subscribers is their affair."""
        return await self._behind() or await self._waiting(f"""
            SELECT count(*) AS deliveries FROM pipeline.delivery AS delivery
            JOIN pipeline.subscription AS subscription ON subscription.id = subscription_id
            WHERE delivery.state = 'pending' AND url = '{self.subscriber_url}'
        """)

    async def _behind(self) -> list[str]:
        """What is not scored and told of on the log; a delivery may wait for minutes until it is repeated.

        Looked for in the order in which messages go on, so that none slips past.
        """
        async with self.opened_log() as log:
            return (
                await self._lag(log, "scorer", "engagement-events")
                or await self._waiting("SELECT count(*) AS scorer_outbox FROM scorer.outbox")
                or await self._lag(log, "pipeline", "lead-scores")
                or await self._waiting("SELECT count(*) AS pipeline_outbox FROM pipeline.outbox")
            )

    async def _due(self) -> list[str]:
        """What time alone does until `told_until`, and is not told yet."""
        return await self._waiting(f"SELECT count(*) AS due FROM scorer.due WHERE due_at <= '{self.told_until}'")

    async def _waiting(self, statement: str) -> list[str]:
        (row,) = await self.query(statement)
        return [f"{name} {number}" for name, number in row.items() if number]

    async def _lag(self, log: Log, group: str, topic: str) -> list[str]:
        lag = sum(part.records for part in (await log.group(group, [topic])).lag.values())
        return [f"lag of {group} {lag}"] if lag else []

    @asynccontextmanager
    async def opened_log(self) -> AsyncIterator[Log]:
        async with self.opened_database() as database:
            log = open_log(self.settings(), database)
            await log.start()
            try:
                yield log
            finally:
                await log.stop()

    @asynccontextmanager
    async def opened_database(self) -> AsyncIterator[Database]:
        database = Database(self.database_url, pool_size=2, timeout_seconds=_OWN_SECONDS)
        try:
            yield database
        finally:
            await database.close()


def _outcome_of(answer: httpx.Response) -> Outcome:
    """429 and other refusals, and a 503 that says so, had no effect; any other trouble may have had one."""
    if answer.status_code < 500:
        return Outcome.FAILED
    code = answer.json().get("code") if answer.status_code == 503 else None
    return Outcome.FAILED if code == "not_accepted" else Outcome.UNKNOWN


@asynccontextmanager
async def world(plan: Plan, servers: Servers, directory: Path) -> AsyncIterator[World]:
    """A fresh installation; no process of it runs yet."""
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(servers.databases.fresh_url())
        database = Database(url, pool_size=2)
        key = await KeyRepository(database).create(
            "default", name="faults", scopes=list(Scope), now=datetime.now(UTC)
        )
        await database.close()
        sink = await stack.enter_async_context(receiving(204))
        supervisor = Supervisor(directory, plan.tree)
        made = World(
            plan,
            plan.chance("faults"),
            plan.chance("doubts"),
            servers,
            directory,
            url,
            key,
            supervisor,
            sink,
            kafka_prefix=f"faults-{time.time_ns()}-",
        )
        await stack.enter_async_context(supervisor.watching())
        yield made
