"""One run of one contestant: fresh topics, fresh state, fresh database; then the gate; then its figures."""

import asyncio
import struct
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from msgspec.json import decode

from benchmarks.peers import environment
from benchmarks.peers.arena import CROSSINGS, Arena, load, over_tcp, read_all, table
from benchmarks.peers.contestants import Class, Contestant, start, start_leadflow
from benchmarks.peers.data import Made, Mix, record
from benchmarks.peers.draining import Failed, Used, drained, ended, free_port
from benchmarks.peers.gate import Found, Left, faults
from benchmarks.peers.oracle import MODEL_FILE, Expected
from services.scorer import models
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.documents.yaml_text import read_yaml
from shared.events.engagement import Identities, identity_digest
from shared.events.topics import ENGAGEMENT_EVENTS, LEAD_SCORES

_LONGEST_SECONDS = 600.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Task:
    """The data of a run, with the right answer."""

    mix: Mix
    records: Sequence[Made]
    expected: Expected

    @property
    def numbers(self) -> Mapping[str, int]:
        """Leads by the key that their records have."""
        return {_key(lead): lead for lead in {record.lead for record in self.records}}


@dataclass(frozen=True, slots=True)
class Figures:
    """Processor seconds per million records, records a second; `refused`: why there are none; `ran`: it was tried."""

    contestant: str
    state: Class
    mix: Mix
    engine: float = 0.0
    postgres: float = 0.0
    broker: float = 0.0
    rate: float = 0.0
    doubled: int = 0
    refused: str | None = None
    ran: bool = True


async def run(arena: Arena, contestant: Contestant, state: Class, task: Task, number: int) -> Figures:
    """One run; never raises for what an engine did."""
    prefix, as_of = f"run{number}-", datetime.now(UTC).replace(microsecond=0)
    directory = arena.directory / f"run{number}"
    directory.mkdir()
    await load(arena.broker.bootstrap, prefix, [record(made, as_of) for made in task.records])
    try:
        async with arena.postgres.fresh_url(migrated=contestant.module == "leadflow") as url:
            before = arena.used()
            held = Held(arena, contestant, state, task, as_of, prefix, directory, url)
            found, used, after = await (held.leadflow() if contestant.module == "leadflow" else held.peer())
    except Failed as error:
        return Figures(contestant.name, state, task.mix, refused=f"{error}: {_said(directory)}")
    except environment.Absent as error:
        return Figures(contestant.name, state, task.mix, refused=str(error), ran=False)
    wrong = faults(task.expected, found, as_of_us=_microseconds(as_of))
    if wrong:
        return Figures(contestant.name, state, task.mix, refused="; ".join(wrong))
    millions = len(task.records) / 1e6
    return Figures(
        contestant.name,
        state,
        task.mix,
        engine=used.cpu_seconds / millions,
        postgres=(after[0] - before[0]) / millions,
        broker=(after[1] - before[1]) / millions,
        rate=len(task.records) / used.seconds,
        doubled=found.doubled,
    )


@dataclass(frozen=True, slots=True)
class Held:
    """A run being held."""

    arena: Arena
    contestant: Contestant
    state: Class
    task: Task
    as_of: datetime
    prefix: str
    directory: Path
    url: str

    async def peer(self) -> tuple[Found, Used, tuple[float, float]]:
        """An adapter's run, and what it left in its topics, its changelog or the table."""
        async with AsyncExitStack() as stack:
            port = await stack.enter_async_context(over_tcp(self.arena.socket_directory))
            if self.state == "B":
                await table(self.url)
            told = await self._worked(port)
            after = self.arena.used()
            crossings = await read_all(self.arena.broker.bootstrap, self.prefix + CROSSINGS.name)
            leads = await self._leads(told)
        numbers = self.task.numbers
        found = Found(
            {numbers[key]: Left(score, count, last) for key, (score, count, last) in leads.items()},
            [numbers[key.decode()] for key, _ in crossings],
        )
        return found, Used(told["cpu_seconds"], told["seconds"]), after

    async def _worked(self, port: int) -> dict[str, Any]:
        result, database = self.directory / "result.json", self.url.rpartition("/")[2].partition("?")[0]
        postgres = f"host={self.arena.socket_directory} user=leadflow dbname={database}"
        jdbc = f"jdbc:postgresql://127.0.0.1:{port}/{database}?user=leadflow&sslmode=disable&gssEncMode=disable"
        job = {
            "bootstrap": self.arena.broker.bootstrap,
            "source": self.prefix + ENGAGEMENT_EVENTS.name,
            "crossings": self.prefix + CROSSINGS.name,
            "group": self.prefix + "group",
            "events": len(self.task.records),
            "as_of_us": _microseconds(self.as_of),
            "tuned": self.contestant.tuned,
            "state_dir": str(self.directory / "state"),
            "result": str(result),
            "postgres": postgres if self.state == "B" else None,
            "jdbc": jdbc if self.state == "B" else None,
            "batch": self.contestant.batch,
        }
        process = start(self.contestant, job, self.directory)
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                while not result.exists():
                    if process.poll() is not None and not result.exists():
                        raise Failed("ended without a result")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise Failed(f"not done after {_LONGEST_SECONDS:g} s") from None
        finally:
            await ended(process)
        told: dict[str, Any] = decode(result.read_text())
        return told

    async def _leads(self, told: Mapping[str, Any]) -> dict[str, tuple[float, int, int]]:
        if self.state == "B":
            connection = await asyncpg.connect(self.url)
            rows = await connection.fetch("SELECT key, score, events, last_us FROM peers.lead")
            await connection.close()
            return {row["key"]: (row["score"], row["events"], row["last_us"]) for row in rows}
        if "leads" in told:
            return {key: tuple(lead) for key, lead in told["leads"].items()}
        return await changelog(self.arena.broker.bootstrap, self.contestant.module, self.prefix)

    async def leadflow(self) -> tuple[Found, Used, tuple[float, float]]:
        """The scorer's run, and what it has published."""
        database = Database(self.url)
        document = read_yaml(MODEL_FILE.read_text())
        await models.publish(database, SystemClock(), "default", document, by="peers", reason="peers")
        await database.close()
        port = free_port()
        process = start_leadflow(
            url=self.url,
            bootstrap=self.arena.broker.bootstrap,
            prefix=self.prefix,
            port=port,
            batch=self.contestant.batch,
            directory=self.directory,
        )
        try:
            used = await drained(self.url, {port: process}, len(self.task.records), _LONGEST_SECONDS)
            after = self.arena.used()
        finally:
            await ended(process, ask=True)
        published = await read_all(self.arena.broker.bootstrap, self.prefix + LEAD_SCORES.name)
        return published_by_leadflow(published, self.task.numbers, _microseconds(self.as_of)), used, after


def _said(directory: Path) -> str:
    """The end of what a process wrote."""
    said = (directory / "said").read_text(errors="replace").strip().splitlines()
    return " | ".join(said[-3:])[-400:]


async def changelog(bootstrap: str, module: str, prefix: str) -> dict[str, tuple[float, int, int]]:
    """The state of class A as its engine has made it durable: the last value of each key of its changelog topic."""
    reads = {
        "quix": (f"changelog__{prefix}group--{prefix}{ENGAGEMENT_EVENTS.name}--default", _quix),
        "faust_app": (f"{prefix}group-leads-changelog", _faust),
        "streams": (f"{prefix}group-leads-changelog", _streams),
    }
    topic, decoded = reads[module]
    found = await read_all(bootstrap, topic)
    return dict(lead for key, value in found if value is not None and (lead := decoded(key, value)) is not None)


def _quix(key: bytes, value: bytes) -> tuple[str, tuple[float, int, int]] | None:
    lead, _, entry = key.partition(b"|")
    return (decode(lead), tuple(decode(value))) if entry == b'"lead"' else None


def _faust(key: bytes, value: bytes) -> tuple[str, tuple[float, int, int]]:
    return decode(key), tuple(decode(value))


def _streams(key: bytes, value: bytes) -> tuple[str, tuple[float, int, int]]:
    return key.decode(), struct.unpack(">dqq", value)


def published_by_leadflow(
    published: Sequence[tuple[bytes, bytes | None]], numbers: Mapping[str, int], as_of_us: int
) -> Found:
    """What its messages say: the events that count, the score when it was last told, and where the threshold is."""
    who: dict[str, int] = {}
    events: dict[str, list[int]] = {}
    scores: dict[str, tuple[float, float]] = {}
    crossed: set[str] = set()
    for _, body in published:
        message = decode(body or b"{}")
        data, lead = message["data"], message["data"]["lead"]["id"]
        if emails := data["lead"]["emails"]:
            who[lead] = numbers[_key_of(emails[0])]
        if message["type"] == "lead.events_recorded":
            events.setdefault(lead, []).extend(_told_us(event["occurred_at"]) for event in data["events"])
        elif message["type"] == "lead.score_changed":
            scores[lead] = data["current"]["scores"]["engagement"], _told_us(data["at"]) - as_of_us
            if data["thresholds"]["crossed"]["position"] == "reached":
                crossed.add(lead)
    leads = {
        who[lead]: Left(score, len(times), max(times), after_us=after_us, rounded=True)
        for lead, times in events.items()
        for score, after_us in [scores.get(lead, (0.0, 0.0))]
    }
    return Found(leads, [who[lead] for lead in crossed])


def _key(lead: int) -> str:
    return _key_of(f"lead.{lead}@example.com")


def _key_of(email: str) -> str:
    return identity_digest("default", Identities(email=email, external_ids={}, anonymous_id=None))


def _told_us(moment: str) -> int:
    return _microseconds(datetime.fromisoformat(moment))


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
