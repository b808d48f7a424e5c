"""The scenarios: each builds a world, loads it, breaks something, waits for quiet, and has it judged.

Nothing in here is timed by a clock where a condition can be waited for; what must last a while says how long.
"""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from pydantic_core import to_json
from sqlalchemy.engine import make_url

from shared.errors import LeadflowError
from shared.events.topics import ENGAGEMENT_EVENTS
from shared.failpoints import Failpoint
from shared.log.protocol import Record
from tests.faults.judgement import judge
from tests.faults.ledger import Event
from tests.faults.processes import Process
from tests.faults.proxy import Link, Mode, tcp_link, unix_link
from tests.faults.servers import Postgres, servers
from tests.faults.staging import (
    PATIENCE_SECONDS,
    CannotRun,
    Run,
    built,
    comes,
    nobody_noticed,
    reached,
    shares,
    under_load,
    while_sending,
)
from tests.faults.story import Size
from tests.faults.trees import copied
from tests.faults.world import SESSION_SECONDS, World
from tests.support.kafka_broker import LocalBroker
from tests.support.leadflow_process import free_port
from tests.support.receiver import HANG, Receiver, receiving
from tests.support.waiting import wait_until

_CUT = 0.5
# What may be in the air to a subscriber that never answers, and as much again.
_MOST_ASKED = 32
# What senders are promised, and what a busy machine may add to it.
ANSWER_SECONDS = 5.0
_GRACE_SECONDS = 1.5
_ROUTE = "/v1/events"
# Shorter than PostgreSQL's own patience with a transaction in which nothing goes on.
_FORGOTTEN_SECONDS = 15.0
# What a process has to end in order (LEADFLOW_SHUTDOWN_TIMEOUT_SECONDS), and what a busy machine may add.
_END_SECONDS = 25.0


async def f1_kills(run: Run) -> World:
    """kill -9 of any service at any time"""
    async with built(run) as here:
        await here.start_services()
        async with while_sending(here, here.send(here.events(run.size))):
            for share, victim in zip(shares(run.faults), _by_turns(here), strict=False):
                await reached(here, run, share)
                await _killed(victim)
        here.notes.append(f"{run.faults} kills")
        await judge(here)
    return here


def _by_turns(here: World) -> Iterator[Process]:
    """Every process, in an order that the seed chooses, again and again: each dies, however few deaths there are."""
    while True:
        processes = here.supervisor.processes
        yield from here.random.sample(processes, len(processes))


async def _killed(victim: Process) -> None:
    """Return when it has died of it, and was started again."""
    await comes(lambda: victim.alive, "the victim lives")
    deaths = len(victim.exits)
    victim.kill()
    await comes(lambda: len(victim.exits) > deaths, "the victim is dead")


# Which process dies where; (e) needs a rebalance, which a second scorer brings.
POINTS: Mapping[str, tuple[Failpoint, ...]] = {
    "ingest-1": ("log-acknowledged-sender-not-told",),
    "scorer-1": ("effects-committed-offsets-not", "events-stored-states-not", "published-not-marked"),
    "pipeline-1": ("effects-committed-offsets-not", "published-not-marked", "delivered-not-recorded"),
}
REBALANCED: Failpoint = "partitions-revoked"


async def f2_failpoints(run: Run) -> World:
    """death at each boundary between two commits"""
    async with built(run, replace(run.plan, static_members=False)) as here:
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
        await here.send(here.events(size, prefix=f"c{chunk}-"))
        if set(scorer.failpoints) == {REBALANCED}:
            second = await _rebalance(here, scorer, second)
    if second is not None:
        await here.supervisor.retire(second)


async def _rebalance(here: World, scorer: Process, second: Process | None) -> Process | None:
    """A second scorer comes, or goes; returns it if it is there now."""
    died = scorer.deaths_at_failpoints
    await comes(scorer.is_ready, "the scorer is back")
    await comes(scorer.holds_partitions, "the scorer has partitions")
    if second is None:
        second = here.start("scorer-2")
    else:
        await here.supervisor.retire(second)
        second = None
    await comes(lambda: scorer.deaths_at_failpoints > died, "the scorer dies of the rebalance")
    return second


async def f3_frozen_scorer(run: Run) -> World:
    """SIGSTOP of a scorer in a commit, past its session, a second one taking over, then SIGCONT"""
    # What was asked of the database when it froze is not given up meanwhile.
    plan = replace(run.plan, static_members=False, environment={"LEADFLOW_DATABASE_TIMEOUT_SECONDS": "30"})
    async with built(run, plan) as here:
        # Long enough for relays to go past them, on a busy machine too.
        await here.slow_commits(every=61, seconds=1.0)
        await here.log_in_by_name("scorer-1", "scorer-2")
        await here.start_services("scorer-2")
        async with while_sending(here, here.send(here.events(run.size))):
            for share in shares(run.faults):
                await reached(here, run, share)
                scorers = here.supervisor.of("scorer")
                here.random.shuffle(scorers)
                await _frozen(here, *scorers, seconds=SESSION_SECONDS + run.lasting_seconds / 2)
        rejected = sum(process.said("commit rejected") for process in here.supervisor.of("scorer"))
        here.notes.append(f"{run.faults} freezes, {rejected} commits of a zombie refused")
        if any(process.exits for process in here.supervisor.of("scorer")):
            here.violations.append("a scorer that had been frozen died of it")
        await judge(here)
    return here


async def _frozen(here: World, victim: Process, other: Process, *, seconds: float) -> None:
    """Return when the other one has taken everything over and the victim, let go on, was refused what it held."""
    await comes(lambda: here.is_committing(victim.name), f"a batch of {victim.name} is being committed")
    refused = victim.said("commit rejected")
    victim.freeze()
    await asyncio.sleep(seconds)
    await comes(lambda: _has_all(other), f"{other.name} takes over")
    victim.thaw()
    await comes(lambda: victim.said("commit rejected") > refused, f"{victim.name} is refused its commit")


async def _has_all(scorer: Process) -> bool:
    return await scorer.partitions() == ENGAGEMENT_EVENTS.partitions


async def f4_broker(run: Run) -> World:
    """Kafka stopped and started, and killed"""
    broker = run.servers.broker
    assert broker is not None
    async with built(run) as here:
        await here.start_services()
        async with under_load(here, leads=run.size.leads, per_second=run.size.events) as goes_on:
            for number in range(run.faults):
                await goes_on()
                await asyncio.to_thread(broker.stop if number % 2 else broker.kill)
                refused = here.ledger.answers.get("503", 0)
                await comes(lambda: here.ledger.answers.get("503", 0) > refused, "a sender is refused")  # noqa: B023
                await asyncio.to_thread(broker.start)
        _answers_in_time(here)
        here.notes.append(f"{run.faults} times without a broker")
        await judge(here)
    return here


def _answers_in_time(here: World) -> None:
    """By the senders' clock, with what a busy machine may add, and by that of ingest without."""
    slowest, durations = here.ledger.slowest_answer_seconds, "leadflow_http_request_duration_seconds"
    answered = here.counters.total(f"{durations}_count", route=_ROUTE)
    late = answered - here.counters.total(f"{durations}_bucket", route=_ROUTE, le=f"{ANSWER_SECONDS}")
    if late or not answered:
        here.violations.append(f"{late} of {answered} requests took ingest longer than {ANSWER_SECONDS} s")
    here.notes.append(f"slowest answer {slowest:.1f} s")
    if slowest > ANSWER_SECONDS + _GRACE_SECONDS:
        here.violations.append(f"a sender waited {slowest:.1f} s for an answer")


async def f5_postgres(run: Run) -> World:
    """PostgreSQL stopped immediately, and all its sessions ended"""
    async with built(run) as here:
        await here.start_services()
        async with under_load(here, leads=run.size.leads, per_second=run.size.events) as goes_on:
            for number in range(run.faults):
                await goes_on()
                if number % 2:
                    await run.servers.postgres.end_sessions(here.database_name)
                    continue
                await run.servers.postgres.stop_immediately()
                await asyncio.sleep(run.lasting_seconds / 4)
                await run.servers.postgres.start()
        _answers_in_time(here)
        here.notes.append(f"{run.faults} faults, deaths {sum(len(p.exits) for p in here.supervisor.processes)}")
        if forgotten := await _forgotten(here):
            here.violations.append(f"{len(forgotten)} connections were forgotten in a transaction")
        await judge(here)
    return here


async def _forgotten(here: World) -> set[object]:
    """Transactions of now that nobody goes on with, nor ends."""

    async def idle() -> set[object]:
        return set(
            await here.query("""
                SELECT pid, xact_start FROM pg_stat_activity
                WHERE datname = current_database() AND state LIKE 'idle in%'
            """)
        )

    left = await idle()

    async def are_over() -> bool:
        left.intersection_update(await idle())
        return not left

    with suppress(AssertionError):
        await wait_until(are_over, "all transactions of now are over", timeout_seconds=_FORGOTTEN_SECONDS)
    return left


_BROKEN = (Mode.BLACKHOLE, Mode.HALF_OPEN, Mode.DELAY)


async def f6_links(run: Run) -> World:
    """every link held up, half open and slow, and some cut"""
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(built(run))
        links = await _links(stack, here)
        here.plan = replace(here.plan, environment={"LEADFLOW_DATABASE_TIMEOUT_SECONDS": "3"})
        await here.start_services()
        rounds = _rounds(links, together=run.faults)
        per_second = run.size.events / len(rounds) / (run.lasting_seconds + 1)
        async with while_sending(here, here.send(here.events(run.size), per_second=per_second)):
            for number, (broken, mode) in enumerate(rounds):
                await reached(here, run, number / len(rounds))
                for link in broken:
                    link.break_(mode)
                await asyncio.sleep(run.lasting_seconds)
                for link in broken:
                    link.heal()
                    if here.random.random() < _CUT:
                        link.cut()
        _answers_in_time(here)
        here.notes.append(f"{len(links)} links, {len(rounds)} times {run.faults} of them at most")
        if idle := [f"{link.name}, {mode}" for mode in _BROKEN for link in links if not link.met[mode]]:
            here.violations.append(f"links that nobody used while they were broken: {idle}")
        await judge(here)
    return here


def _rounds(links: Sequence[Link], *, together: int) -> list[tuple[Sequence[Link], Mode]]:
    """Every mode on every link, `together` of them at a time."""
    groups = [links[start : start + together] for start in range(0, len(links), together)]
    return [(group, mode) for mode in _BROKEN for group in groups]


async def _links(stack: AsyncExitStack, here: World) -> list[Link]:
    """A proxy on every way that a service has to somebody else."""
    names = ("ingest-1", "scorer-1", "pipeline-1")
    to_database = [await _link_to_database(stack, here, name) for name in names]
    here.subscriber_url = here.sink.url.replace(str(here.sink.port), str(port := free_port()))
    opened = tcp_link(
        "pipeline-1 to the subscriber", here.plan.chance("subscriber"), port=port, to_port=here.sink.port
    )
    to_subscriber = await stack.enter_async_context(opened)
    if here.plan.log != "kafka":
        return [*to_database, to_subscriber]
    to_log = [await _link_to_log(stack, here, name, number) for number, name in enumerate(names)]
    # In threes of different services; without them nothing goes to the subscriber, so that its link comes alone.
    mixed = [to_database[0], to_log[1], to_database[2], to_log[0], to_database[1], to_log[2]]
    return [*mixed, to_subscriber]


async def _link_to_database(stack: AsyncExitStack, here: World, name: str) -> Link:
    socket = here.servers.postgres.socket
    near = here.directory / name[0] / socket.name
    near.parent.mkdir()
    url = make_url(here.database_url).update_query_dict({"host": str(near.parent)})
    here.environments.setdefault(name, {})["LEADFLOW_DATABASE_URL"] = url.render_as_string(hide_password=False)
    opened = unix_link(f"{name} to PostgreSQL", here.plan.chance(f"{name} to PostgreSQL"), path=near, to_path=socket)
    return await stack.enter_async_context(opened)


async def _link_to_log(stack: AsyncExitStack, here: World, name: str, number: int) -> Link:
    broker = here.servers.broker
    assert isinstance(broker, LocalBroker)
    way = broker.links[number]
    here.environments.setdefault(name, {})["LEADFLOW_KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{way.advertised_port}"
    opened = tcp_link(
        f"{name} to the log", here.plan.chance(f"{name} to the log"), port=way.advertised_port, to_port=way.port
    )
    return await stack.enter_async_context(opened)


async def f7_subscribers(run: Run) -> World:
    """beside the subscriber one that hangs, one that fails, one that is gone"""
    async with receiving(HANG) as hanging, receiving(500) as failing, receiving(410) as gone, built(run) as here:
        await here.start_services()
        others = {"hanging": hanging, "failing": failing, "gone": gone}
        async with here.client(here.supervisor.of("pipeline")[0]) as api:
            ids = {name: await _subscribed(api, receiver) for name, receiver in others.items()}
            await here.send(here.events(run.size))
            await here.until_quiet()
            views = {name: (await api.get(f"/v1/subscriptions/{id_}")).json() for name, id_ in ids.items()}
            for id_ in ids.values():
                (await api.delete(f"/v1/subscriptions/{id_}")).raise_for_status()
        states = {name: (view["state"], bool(view["failing_since"])) for name, view in views.items()}
        if states["gone"][0] != "disabled" or states["failing"] != ("enabled", True):
            here.violations.append(f"subscriptions: {states}")
        asked = {name: len(receiver.requests) for name, receiver in others.items()}
        if not all(0 < number <= _MOST_ASKED for number in asked.values()):
            here.violations.append(f"requests to those who did not take them: {asked}")
        here.notes.append(f"requests to the others: {asked}")
        await judge(here)
    return here


async def _subscribed(api: httpx.AsyncClient, receiver: Receiver) -> str:
    answer = await api.post("/v1/subscriptions", json={"url": receiver.url})
    return str(answer.raise_for_status().json()["id"])


async def f8_disk_full(run: Run) -> World:
    """the disk of PostgreSQL runs full, first for data and then for the WAL, and is freed"""
    async with AsyncExitStack() as stack:
        disk = stack.enter_context(_small_disk(run.directory / "disk"))
        own = await stack.enter_async_context(servers(disk / "pg", kafka=False))
        here = await stack.enter_async_context(built(replace(run, servers=own)))
        await here.start_services()
        async with under_load(here, leads=run.size.leads, per_second=run.size.events) as goes_on:
            for _ in range(run.faults):
                await goes_on()
                refused = _refusals(here)
                ballast = disk / "ballast"
                try:
                    await asyncio.to_thread(_fill, ballast)
                    await comes(lambda: _refusals(here) > refused, "a sender is refused")  # noqa: B023
                    await own.postgres.exhaust_wal()
                    await comes(lambda: _nobody_is_ready(here), "no service is ready")
                finally:
                    ballast.unlink()
                await comes(lambda: _back(own.postgres), "PostgreSQL is back")
        here.notes.append(f"{run.faults} times without a byte of room")
        await judge(here)
    return here


async def _back(postgres: Postgres) -> bool:
    """Whether it answers; it is started again where it could not recover while the disk was full."""
    if not postgres.alive:
        with suppress(LeadflowError):
            await postgres.start()
    return await postgres.answers()


async def _nobody_is_ready(here: World) -> bool:
    return not any([await process.is_ready() for process in here.supervisor.processes])


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
    async with built(run) as here:
        await here.start_services()
        async with while_sending(here, here.send(here.events(run.size), copies=4)):
            for share in shares(run.faults):
                await reached(here, run, share)
                await _killed(here.random.choice(here.supervisor.of("scorer")))
        sent = sum(len(entry.attempts) for entry in here.ledger.entries.values())
        here.notes.append(f"{sent} sent for {len(here.ledger.entries)} events")
        await judge(here)
    return here


async def f10_burst(run: Run) -> World:
    """ten times as much at once as before"""
    async with built(run) as here:
        await here.start_services()
        calm = Size(run.size.events // 10, run.size.leads)
        await here.send(here.events(calm, prefix="calm-"), workers=2)
        at_rest = {process.name: process.resident_bytes() for process in here.supervisor.processes}
        await here.send(here.events(run.size), workers=20, batch=(100, 100))
        await here.until_quiet()
        for process in here.supervisor.processes:
            grown = process.most_resident_bytes() / at_rest[process.name]
            here.notes.append(f"{process.name} grew to {grown:.2f} times its size")
            if grown > 2:
                here.violations.append(f"{process.name} grew to {grown:.2f} times its size")
        if strange := here.ledger.answers.keys() - {"202", "429", "503"}:
            here.violations.append(f"answers in a burst: {sorted(strange)}")
        if any(process.said("partitions assigned") > 1 for process in here.supervisor.processes):
            here.violations.append("the burst brought a rebalance")
        if any(process.exits for process in here.supervisor.processes):
            here.violations.append("a process died of the burst")
        await judge(here)
    return here


async def f11_poison(run: Run) -> World:
    """what nobody can read, straight into the topic; what one release could not read comes back for the next"""
    async with AsyncExitStack() as stack:
        older = run.directory / "older"
        unable = stack.enter_context(copied(older, _cannot_read_webinars, of=run.plan.tree.directory))
        here = await stack.enter_async_context(built(run))
        await here.start_services(trees={"scorer-1": unable})
        injected = 0
        async with while_sending(here, here.send(here.events(run.size))), here.opened_log() as log:
            for share in shares(run.faults):
                await reached(here, run, share)
                poison = [Record(os.urandom(8), value) for value in _poison()]
                await log.publish("engagement-events", poison)
                injected += len(poison)
        unread = sum(entry.event["type"] == _UNREAD for entry in here.ledger.entries.values())
        await here.supervisor.retire(here.supervisor.of("scorer")[0])
        here.start("scorer-1")
        replay = ("dead-letters", "replay", "--topic", "engagement-events-dlq", "--reason", _REASON, "--yes")
        for _ in range(0, unread, _REPLAYED_AT_ONCE):
            # 1: of a record with two letters the second is refused.
            await here.command(*replay, codes=(0, 1))
        await here.until_quiet()
        here.notes.append(f"{injected} records of poison, {unread} events of a kind unknown to a release replayed")
        await judge(here, poison=injected + unread)
    return here


_UNREAD, _REASON = "webinar_attended", "cannot_read_webinars"
_REPLAYED_AT_ONCE = 1000


def _cannot_read_webinars(sources: Path) -> None:
    """Makes the scorer of a release that takes a kind of event for poison."""
    with (sources / "services/scorer/handlers.py").open("a") as module:
        module.write(f"""
_read_all = read

def read(record):
    message = _read_all(record)
    if message.data.type == {_UNREAD!r}:
        raise InvalidInput("a kind of event that this release does not know", code={_REASON!r})
    return message
""")


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
    async with built(run) as here:
        await here.start_services("ingest-2", "scorer-2", "pipeline-2")
        async with under_load(here, leads=run.size.leads, per_second=run.size.events, most_tries=2) as goes_on:
            slowest = 0.0
            for process in list(here.supervisor.processes):
                await goes_on()
                slowest = max(slowest, await _restarted(process))
        here.notes.append(f"{len(here.supervisor.processes)} restarts, slowest end {slowest:.1f} s")
        if slowest > _END_SECONDS:
            here.violations.append(f"a process took {slowest:.1f} s to end")
        nobody_noticed(here)
        await judge(here)
    return here


async def _restarted(process: Process) -> float:
    """Return when it has ended in order and is back; how many seconds it took to end."""
    before, began = process.starts, time.monotonic()
    process.end()
    await comes(lambda: process.starts > before, f"{process.name} ends and starts")
    seconds = time.monotonic() - began
    await comes(process.is_ready, f"{process.name} is ready")
    return seconds


_FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


def _need_faketime() -> None:
    if not _FAKETIME.exists():
        raise CannotRun("libfaketime is not installed (Debian's package is called so)")


async def f13_clocks(run: Run) -> World:
    """ingest an hour ahead, the scorer an hour behind, events of 1970 and of ten years ahead"""
    _need_faketime()

    ahead = {"ingest-1": timedelta(hours=1), "scorer-1": timedelta(hours=-1)}
    async with built(run) as here:
        for name, by in ahead.items():
            here.environments[name] = _skewed(by)
        here.scorer_ahead = ahead["scorer-1"]
        await here.start_services()
        for process in here.supervisor.processes:
            is_ahead = await process.clock_ahead()
            if abs(is_ahead - ahead.get(process.name, timedelta(0))) > timedelta(minutes=1):
                here.violations.append(f"the clock of {process.name} is {is_ahead} ahead")
        await here.send(_at_odd_times(here, here.events(run.size)))
        await here.until_quiet()
        await judge(here)
    return here


def _skewed(by: timedelta) -> dict[str, str]:
    """The environment of a process whose clock is ahead."""
    return {
        "LD_PRELOAD": str(_FAKETIME),
        "FAKETIME": f"{by.total_seconds():+.0f}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def _at_odd_times(here: World, usual: Iterable[Event]) -> Iterator[Event]:
    """Some of the events at odd moments: 1970, ten years ahead, a leap day, when clocks jump."""
    odd = [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime.now(UTC) + timedelta(days=3650),
        datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
    ]
    chance = here.plan.chance("times")
    for event in usual:
        if chance.random() < 0.2:
            yield {**event, "occurred_at": chance.choice(odd).isoformat()}
        else:
            yield event


async def f15_scaling(run: Run) -> World:
    """1, 4 and 1 scorers again; meanwhile half as many partitions more"""
    async with built(run) as here:
        await here.slow_commits()
        await here.start_services()
        async with under_load(here, leads=run.size.leads, per_second=run.size.events) as goes_on:
            await goes_on()
            if run.plan.log == "kafka":
                await _more_partitions(here)
            more = [here.start(f"scorer-{number}") for number in range(2, 2 + run.faults)]
            for process in more:
                await comes(process.holds_partitions, f"{process.name} has its share")
            await goes_on()
            for process in more:
                await here.supervisor.retire(process)
            await goes_on()
        here.notes.append(f"{1 + run.faults} scorers at most")
        story = await judge(here)
        if run.plan.log == "kafka" and not story.widely_read(_PARTITIONS):
            here.violations.append("nothing was published to the new partitions")
    return here


_PARTITIONS = ENGAGEMENT_EVENTS.partitions


async def _more_partitions(here: World) -> None:
    """As the runbook has it: by Kafka's own means, then a restart of those who would find them in five minutes."""
    assert here.servers.broker is not None
    admin = AIOKafkaAdminClient(bootstrap_servers=here.servers.broker.bootstrap)
    await admin.start()
    try:
        wanted = NewPartitions(total_count=_PARTITIONS + _PARTITIONS // 2)
        await admin.create_partitions({f"{here.kafka_prefix}{ENGAGEMENT_EVENTS.name}": wanted})
    finally:
        await admin.close()
    for process in here.supervisor.of("ingest") + here.supervisor.of("scorer"):
        await _restarted(process)
