"""The scenarios: each builds a world, loads it, breaks something, waits for quiet, and has it judged.

Nothing in here is timed by a clock where a condition can be waited for; what must last a while says how long.
"""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic_core import to_json

from shared.errors import LeadflowError
from shared.failpoints import Failpoint
from shared.log.connect import open_log
from shared.log.protocol import Record
from tests.faults.judgement import judge
from tests.faults.ledger import Event, Outcome
from tests.faults.processes import Process
from tests.faults.proxy import Link, Mode, tcp_link, unix_link
from tests.faults.servers import Postgres, Servers, servers
from tests.faults.story import Size, events
from tests.faults.world import SESSION_SECONDS, Plan, World, world
from tests.support.kafka_broker import LocalBroker
from tests.support.waiting import wait_until

PATIENCE_SECONDS = 150.0
# What senders are promised, and what a busy machine may add to it.
ANSWER_SECONDS = 5.0
_GRACE_SECONDS = 1.5


class CannotRun(Exception):
    """Why a scenario cannot be run on this machine."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a scenario: on which log, from which seed, on which servers, and how much of it."""

    plan: Plan
    servers: Servers
    directory: Path
    size: Size
    faults: int
    lasting_seconds: float = 8.0


Scenario = Callable[[Run], Awaitable[World]]


def _built(run: Run, plan: Plan | None = None) -> AbstractAsyncContextManager[World]:
    return world(plan or run.plan, run.servers, run.directory)


@asynccontextmanager
async def _while_sending(here: World, sending: Awaitable[None]) -> AsyncIterator[None]:
    """The block breaks things meanwhile; afterwards everything has been sent and all is quiet again."""
    task = asyncio.ensure_future(sending)
    try:
        yield
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await here.until_quiet()


async def _reached(here: World, run: Run, share: float) -> None:
    """Return when this share of the events has been sent."""
    wanted = int(run.size.events * share)
    await wait_until(lambda: len(here.ledger.entries) >= wanted, "the load", timeout_seconds=PATIENCE_SECONDS)


async def _comes(condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    await wait_until(condition, what, timeout_seconds=PATIENCE_SECONDS, every_seconds=0.1)


def _shares(count: int) -> list[float]:
    """Where in the load `count` faults come, evenly."""
    return [(number + 1) / (count + 1) for number in range(count)]


async def f1_kills(run: Run) -> World:
    """kill -9 of any service at any time"""
    async with _built(run) as here:
        await here.start_services()
        async with _while_sending(here, here.send(events(here.random, run.size))):
            for share in _shares(run.faults):
                await _reached(here, run, share)
                victim = here.random.choice(here.supervisor.processes)
                await _killed(victim)
        here.notes.append(f"{run.faults} kills")
        await judge(here)
    return here


async def _killed(victim: Process) -> None:
    """Return when it has died of it, and was started again."""
    await _comes(lambda: victim.alive, "the victim lives")
    deaths = len(victim.exits)
    victim.kill()
    await _comes(lambda: len(victim.exits) > deaths, "the victim is dead")


# Which process dies where; (e) needs a rebalance, which a second scorer brings.
POINTS: Mapping[str, tuple[Failpoint, ...]] = {
    "ingest-1": ("log-acknowledged-sender-not-told",),
    "scorer-1": ("effects-committed-offsets-not", "events-stored-states-not", "published-not-marked"),
    "pipeline-1": ("effects-committed-offsets-not", "published-not-marked", "delivered-not-recorded"),
}
REBALANCED: Failpoint = "partitions-revoked"


async def f2_failpoints(run: Run) -> World:
    """death at each boundary between two commits"""
    async with _built(run, replace(run.plan, static_members=False)) as here:
        passes = [here.random.randint(1, 3) for _ in range(run.faults)]
        armed = {name: [f"{point}:{at}" for at in passes for point in points] for name, points in POINTS.items()}
        armed["scorer-1"] += [REBALANCED] * run.faults
        await here.start_services(failpoints=armed)
        await _send_until_all_died(here, run)
        here.notes.append(f"{sum(process.deaths_at_failpoints for process in here.supervisor.processes)} deaths")
        await here.until_quiet()
        await judge(here)
    return here


async def _send_until_all_died(here: World, run: Run) -> None:
    (scorer,) = here.supervisor.of("scorer")
    deadline, chunk = time.monotonic() + 2 * PATIENCE_SECONDS, 0
    second: Process | None = None
    while any(process.failpoints for process in here.supervisor.processes):
        if time.monotonic() > deadline:
            left = {process.name: process.failpoints for process in here.supervisor.processes if process.failpoints}
            here.violations.append(f"failpoints that were never reached: {left}")
            break
        chunk += 1
        size = Size(max(20, run.size.events // 10), run.size.leads)
        await here.send(events(here.random, size, prefix=f"c{chunk}-"))
        if set(scorer.failpoints) == {REBALANCED}:
            second = await _rebalance(here, scorer, second)
    if second is not None:
        await here.supervisor.retire(second)


async def _rebalance(here: World, scorer: Process, second: Process | None) -> Process | None:
    """A second scorer comes, or goes; returns it if it is there now."""
    died = scorer.deaths_at_failpoints
    await _comes(scorer.is_ready, "the scorer is back")
    await _comes(lambda: _reads(here, scorer), "the scorer has partitions")
    if second is None:
        second = here.start("scorer-2")
    else:
        await here.supervisor.retire(second)
        second = None
    await _comes(lambda: scorer.deaths_at_failpoints > died, "the scorer dies of the rebalance")
    return second


async def _reads(here: World, process: Process) -> bool:
    """Whether the process holds partitions, and has looked at them."""
    text = await process.metrics() or ""
    held = [line for line in text.splitlines() if line.startswith("leadflow_consumer_assigned_partitions{")]
    return any(float(line.rpartition(" ")[2]) > 0 for line in held)


async def f3_frozen_scorer(run: Run) -> World:
    """SIGSTOP of a scorer past its session, a second one running, then SIGCONT"""
    async with _built(run, replace(run.plan, static_members=False)) as here:
        await here.slow_commits()
        await here.start_services("scorer-2")
        async with _while_sending(here, here.send(events(here.random, run.size))):
            for share in _shares(run.faults):
                await _reached(here, run, share)
                frozen = here.random.choice(here.supervisor.of("scorer"))
                frozen.freeze()
                await asyncio.sleep(SESSION_SECONDS + run.lasting_seconds / 2)
                frozen.thaw()
        rejected = sum(process.said("commit rejected") for process in here.supervisor.of("scorer"))
        here.notes.append(f"{run.faults} freezes, {rejected} commits of a zombie refused")
        if any(process.exits for process in here.supervisor.of("scorer")):
            here.violations.append("a scorer that had been frozen died of it")
        await judge(here)
    return here


async def f4_broker(run: Run) -> World:
    """Kafka stopped and started, and killed"""
    broker = run.servers.broker
    assert broker is not None
    async with _built(run) as here:
        await here.start_services()
        async with _while_sending(here, here.send(events(here.random, run.size), per_second=_pace(run))):
            for number, share in enumerate(_shares(run.faults)):
                await _reached(here, run, share)
                await asyncio.to_thread(broker.stop if number % 2 else broker.kill)
                refused = here.ledger.answers.get("503", 0)
                await _comes(lambda: here.ledger.answers.get("503", 0) > refused, "a sender is refused")  # noqa: B023
                await asyncio.to_thread(broker.start)
        _answers_in_time(here)
        here.notes.append(f"{run.faults} times without a broker")
        await judge(here)
    return here


def _pace(run: Run) -> float:
    """Events a second: the load lasts as long as the faults do, and some more."""
    return run.size.events / (run.faults + 1) / 4


def _answers_in_time(here: World) -> None:
    slowest = here.ledger.slowest_answer_seconds
    here.notes.append(f"slowest answer {slowest:.1f} s")
    if slowest > ANSWER_SECONDS + _GRACE_SECONDS:
        here.violations.append(f"a sender waited {slowest:.1f} s for an answer")


async def f5_postgres(run: Run) -> World:
    """PostgreSQL stopped immediately, and all its sessions ended"""
    async with _built(run) as here:
        await here.start_services()
        async with _while_sending(here, here.send(events(here.random, run.size), per_second=_pace(run))):
            for number, share in enumerate(_shares(run.faults)):
                await _reached(here, run, share)
                if number % 2:
                    await run.servers.postgres.end_sessions(here.database_name)
                    continue
                await run.servers.postgres.stop_immediately()
                await asyncio.sleep(run.lasting_seconds / 4)
                await run.servers.postgres.start()
        _answers_in_time(here)
        here.notes.append(f"{run.faults} faults, deaths {sum(len(p.exits) for p in here.supervisor.processes)}")
        held = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
        if forgotten := await here.query(held):
            here.violations.append(f"{len(forgotten)} connections were forgotten in a transaction")
        await judge(here)
    return here


async def f6_links(run: Run) -> World:
    """each link held up, half open, slow and cut"""
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(_built(run))
        links, environments = await _links(stack, here)
        here.plan = replace(here.plan, environment={"LEADFLOW_DATABASE_TIMEOUT_SECONDS": "3"})
        here.environments.update(environments)
        await here.start_services()
        faults = _breakdowns(here, links)[: run.faults]
        async with _while_sending(here, here.send(events(here.random, run.size), per_second=_pace(run))):
            for share, (link, mode) in zip(_shares(len(faults)), faults, strict=True):
                await _reached(here, run, share)
                link.break_(mode)
                await asyncio.sleep(run.lasting_seconds)
                link.heal()
                if here.random.random() < 0.5:
                    link.cut()
        _answers_in_time(here)
        here.notes.append(", ".join(f"{link.name} {mode}" for link, mode in faults))
        await judge(here)
    return here


def _breakdowns(here: World, links: Sequence[Link]) -> list[tuple[Link, Mode]]:
    """Every mode on every link, each link held up completely first; what follows is in any order."""
    first = [(link, Mode.BLACKHOLE) for link in links]
    rest = [(link, mode) for link in links for mode in (Mode.HALF_OPEN, Mode.DELAY)]
    here.random.shuffle(rest)
    return first + rest


async def _links(stack: AsyncExitStack, here: World) -> tuple[list[Link], dict[str, dict[str, str]]]:
    """A proxy for each way: ingest and scorer to the log, scorer to PostgreSQL, pipeline to the subscriber."""
    broker = here.servers.broker
    assert isinstance(broker, LocalBroker)
    links: list[Link] = []
    environments: dict[str, dict[str, str]] = {}
    for name, way in zip(("ingest-1", "scorer-1"), broker.links, strict=True):
        opened = tcp_link(f"{name} to the log", here.random, port=way.advertised_port, to_port=way.port)
        links.append(await stack.enter_async_context(opened))
        environments[name] = {"LEADFLOW_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{way.advertised_port}"}
    socket = here.servers.postgres.socket
    near = here.directory / "s" / socket.name
    near.parent.mkdir()
    links.append(
        await stack.enter_async_context(unix_link("scorer-1 to PostgreSQL", here.random, path=near, to_path=socket))
    )
    environments["scorer-1"]["LEADFLOW_DATABASE_URL"] = here.database_url.replace(
        str(socket.parent), str(near.parent)
    )
    return links, environments


async def f8_disk_full(run: Run) -> World:
    """the disk of PostgreSQL runs full, and is freed"""
    async with AsyncExitStack() as stack:
        disk = stack.enter_context(_small_disk(run.directory / "disk"))
        own = await stack.enter_async_context(servers(disk / "pg", kafka=False))
        here = await stack.enter_async_context(_built(replace(run, servers=own)))
        await here.start_services()
        async with _while_sending(here, here.send(events(here.random, run.size), per_second=_pace(run))):
            for share in _shares(run.faults):
                await _reached(here, run, share)
                refused = _refusals(here)
                ballast = disk / "ballast"
                await asyncio.to_thread(_fill, ballast)
                await _comes(lambda: _refusals(here) > refused, "a sender is refused")  # noqa: B023
                ballast.unlink()
                await _comes(lambda: _back(own.postgres), "PostgreSQL is back")
        here.notes.append(f"{run.faults} times without a byte of room")
        await judge(here)
    return here


async def _back(postgres: Postgres) -> bool:
    """Whether it answers; it is started again where it could not recover while the disk was full."""
    if not postgres.alive:
        with suppress(LeadflowError):
            await postgres.start()
    return await postgres.answers()


def _refusals(here: World) -> int:
    return sum(number for answer, number in here.ledger.answers.items() if answer != "202")


@contextmanager
def _small_disk(path: Path) -> Iterator[Path]:
    path.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=512m", "leadflow-faults", str(path)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        raise CannotRun("only root may mount a small disk")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def _fill(ballast: Path) -> None:
    """Write until there is no room for another byte."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        for size in (65536, 1):
            with suppress(OSError):
                while file.write(b"\0" * size):
                    pass


async def f9_duplicates(run: Run) -> World:
    """every event up to four times, out of order, over restarts"""
    async with _built(run) as here:
        await here.start_services()
        async with _while_sending(here, here.send(events(here.random, run.size), copies=4)):
            for share in _shares(run.faults):
                await _reached(here, run, share)
                await _killed(here.random.choice(here.supervisor.of("scorer")))
        sent = sum(len(entry.attempts) for entry in here.ledger.entries.values())
        here.notes.append(f"{sent} sent for {len(here.ledger.entries)} events")
        await judge(here)
    return here


async def f10_burst(run: Run) -> World:
    """ten times as much at once as before"""
    async with _built(run) as here:
        await here.start_services()
        calm = Size(run.size.events // 10, run.size.leads)
        await here.send(events(here.random, calm, prefix="calm-"), workers=2)
        at_rest = {process.name: process.resident_bytes() for process in here.supervisor.processes}
        async with _while_sending(here, here.send(events(here.random, run.size), workers=20, batch=(100, 100))):
            pass
        for process in here.supervisor.processes:
            grown = process.most_resident_bytes() / at_rest[process.name]
            here.notes.append(f"{process.name} grew to {grown:.2f} times its size")
            if grown > 2:
                here.violations.append(f"{process.name} grew to {grown:.2f} times its size")
        if strange := here.ledger.answers.keys() - {"202", "429", "503"}:
            here.violations.append(f"answers in a burst: {sorted(strange)}")
        if any(process.said("partitions assigned") > 1 for process in here.supervisor.processes):
            here.violations.append("the burst brought a rebalance")
        await judge(here)
    return here


async def f11_poison(run: Run) -> World:
    """what nobody can read, straight into the topic"""
    async with _built(run) as here:
        await here.start_services()
        injected = 0
        async with _while_sending(here, here.send(events(here.random, run.size))), here.opened_database() as database:
            log = open_log(here.settings(), database)
            await log.start()
            try:
                for share in _shares(run.faults):
                    await _reached(here, run, share)
                    poison = [Record(os.urandom(8), value) for value in _poison()]
                    await log.publish("engagement-events", poison)
                    injected += len(poison)
            finally:
                await log.stop()
        here.notes.append(f"{injected} records of poison")
        await judge(here, poison=injected)
    return here


def _poison() -> list[bytes]:
    """Every kind that once broke somebody: not JSON, not ours, and JSON that PostgreSQL or arithmetic cannot hold."""
    broken = [b"", b"\x00\xff", b"{", b"null", b"[" * 100_000, b"x" * 900_000, b'{"type":"engagement.accepted"}']
    return broken + [_message(value) for value in (b'"\\u0000"', b'"\\ud800"', b"NaN", b"1e400000", b"-Infinity")]


def _message(value: bytes) -> bytes:
    """A message of ingest that is right but for one value."""
    now = datetime.now(UTC).isoformat()
    event: dict[str, object] = {
        "id": f"poison-{os.urandom(8).hex()}",
        "source": "web",
        "type": "page_viewed",
        "native_type": None,
        "occurred_at": now,
        "received_at": now,
        "lead": {"email": "lead0@acme.example", "external_ids": {}, "anonymous_id": None},
        "properties": {"path": "POISON"},
        "attributes": {},
    }
    message = {
        "specversion": "1.0",
        "id": event["id"],
        "type": "engagement.accepted",
        "source": "web",
        "subject": "poison",
        "time": now,
        "datacontenttype": "application/json",
        "workspace": "default",
        "data": event,
    }
    return to_json(message).replace(b'"POISON"', value)


async def f12_rolling_restart(run: Run) -> World:
    """SIGTERM of every process in turn, senders repeating once"""
    async with _built(run) as here:
        await here.start_services("ingest-2", "scorer-2", "pipeline-2")
        sending = here.send(events(here.random, run.size), per_second=_pace(run), most_tries=2)
        async with _while_sending(here, sending):
            for process in list(here.supervisor.processes):
                before = process.starts
                process.end()
                await _comes(lambda: process.starts > before, f"{process.name} ends and starts")  # noqa: B023
                await _comes(process.is_ready, f"{process.name} is ready")
        wrong = {process.name: process.exits for process in here.supervisor.processes if any(process.exits)}
        if wrong:
            here.violations.append(f"ended with an error: {wrong}")
        here.notes.append(f"{len(here.supervisor.processes)} restarts")
        if lost := here.ledger.ids(Outcome.FAILED, Outcome.UNKNOWN):
            here.violations.append(f"{len(lost)} events were refused although the sender repeated once")
        await judge(here)
    return here


_FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


def _need_faketime() -> None:
    if not _FAKETIME.exists():
        raise CannotRun("libfaketime is not installed (Debian's package is called so)")


async def f13_clocks(run: Run) -> World:
    """ingest an hour ahead, the scorer an hour behind, events of 1970 and of ten years ahead"""
    _need_faketime()

    def skewed(by: str) -> dict[str, str]:
        return {"LD_PRELOAD": str(_FAKETIME), "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    async with _built(run) as here:
        here.environments["ingest-1"] = skewed("+1h")
        here.environments["scorer-1"] = skewed("-1h")
        here.scorer_ahead = timedelta(hours=-1)
        await here.start_services()
        async with _while_sending(here, here.send(_at_odd_times(here, events(here.random, run.size)))):
            pass
        await judge(here)
    return here


def _at_odd_times(here: World, usual: Iterable[Event]) -> Iterator[Event]:
    """Some of the events at odd moments: 1970, ten years ahead, a leap day, when clocks jump."""
    odd = [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime.now(UTC) + timedelta(days=3650),
        datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
    ]
    for event in usual:
        if here.random.random() < 0.2:
            yield {**event, "occurred_at": here.random.choice(odd).isoformat()}
        else:
            yield event


async def f15_scaling(run: Run) -> World:
    """1, 4 and 1 scorers again"""
    async with _built(run) as here:
        await here.slow_commits()
        await here.start_services()
        sending = here.send(events(here.random, run.size), per_second=_pace(run))
        async with _while_sending(here, sending):
            await _reached(here, run, 0.2)
            more = [here.start(f"scorer-{number}") for number in (2, 3, 4)]
            for process in more:
                await _comes(lambda: _reads(here, process), f"{process.name} has its share")  # noqa: B023
            await _reached(here, run, 0.6)
            for process in more:
                await here.supervisor.retire(process)
        here.notes.append("4 scorers at most")
        await judge(here)
    return here
