"""`leadflow import` on the real embedded log with a real scorer: once, twice, interrupted, and on real data sets."""

import asyncio
import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from pydantic_core import from_json
from sqlalchemy import text
from typer.testing import CliRunner, Result

from services.command.main import app
from services.ingest.importing.files import digest_of
from services.ingest.importing.mapping import ImportMapping, parse_mapping
from services.ingest.importing.position import Position, PositionFile
from services.ingest.importing.runner import Importer, Progress
from services.ingest.publisher import Publisher, PublisherLimits
from services.ingest.service import Ingest
from services.scorer.handlers import Handlers
from services.scorer.leads.repository import opened_bodies
from services.scorer.service import Scorer
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.documents.yaml_text import read_yaml
from shared.errors import InvalidInput, LogUnavailable
from shared.events.codec import decode
from shared.events.json import Json, JsonLimits
from shared.events.topics import ALL_TOPICS, ENGAGEMENT_EVENTS
from shared.log.embedded import EmbeddedLog
from shared.log.kafka import KafkaLog
from shared.log.protocol import Record
from shared.retry import RetryPolicy
from tests.support.datasets import MAPPINGS, dataset, prefix_of, rows_of
from tests.support.waiting import wait_until

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
_FIRST = datetime(2025, 1, 1, tzinfo=UTC)
MAPPING: dict[str, Json] = {
    "source": "crm",
    "lead": {"email": "mail"},
    "events": {"signed_up": {"id": "id", "occurred_at": "at", "properties": {"plan": "plan"}}},
}


@dataclass(frozen=True)
class Bench:
    """An importer, the log it publishes to, and a scorer that reads it."""

    database: Database
    log: EmbeddedLog
    handlers: Handlers
    clock: ManualClock
    directory: Path

    def importer(self, wrap: Callable[["Tripping"], None] = lambda _log: None, *, batch_events: int = 10) -> Importer:
        log = Tripping(self.log)
        wrap(log)
        publisher = Publisher(log, ENGAGEMENT_EVENTS.name, PublisherLimits(20_000, 2**26))  # type: ignore[arg-type]
        ingest = Ingest(publisher, JsonLimits(), 512 * 1024)
        return Importer(ingest, self.clock, batch_events=batch_events, patience=RetryPolicy(first_seconds=0.001))

    async def run(
        self,
        path: Path,
        mapping: ImportMapping,
        importer: Importer | None = None,
        on_progress: Callable[[Progress], None] = lambda _progress: None,
    ) -> Position:
        return await (importer or self.importer()).run(
            path, mapping, positions=self.positions(path), refused_path=self.refused(path), on_progress=on_progress
        )

    def positions(self, path: Path) -> PositionFile:
        self.directory.mkdir(exist_ok=True)
        return PositionFile.of(self.directory, digest_of(path))

    def refused(self, path: Path) -> Path:
        return self.directory / f"{path.name}.refused.ndjson"

    async def scored(self) -> dict[str, int]:
        """Let the scorer read everything; how many events it has by type."""
        async with self.log.consume([ENGAGEMENT_EVENTS.name], group="scorer", member="test") as consumer:
            idle = 0
            while idle < 2:
                records = await consumer.poll(max_records=1000, timeout_seconds=0.3)
                idle = 0 if records else idle + bool(consumer.assignment())
                if records:
                    await self.handlers.handle(records)
                    await consumer.commit({record.partition: record.offset + 1 for record in records})
        return dict(await self.rows("SELECT type, count(*) FROM scorer.event GROUP BY type"))

    async def attributes(self) -> list[dict[str, Json]]:
        """What each stored event says of its lead."""
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            stored = (await connection.execute(text("SELECT body::text AS body, sealed FROM scorer.event"))).all()
            bodies = await opened_bodies(connection, [(row.body, row.sealed) for row in stored])
        return [from_json(body)["attributes"] for body in bodies if body is not None]

    async def rows(self, query: str) -> list[tuple[str, int]]:
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            return [(row[0], row[1]) for row in await connection.execute(text(query))]

    async def events(self, workspace: str) -> list[tuple[str, str]]:
        """Every stored event of a workspace: its id, and a digest of everything but when it was received."""
        query = "SELECT event_id, encode(digest, 'hex') FROM scorer.event WHERE workspace = :workspace ORDER BY 1"
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            return [(row[0], row[1]) for row in await connection.execute(text(query), {"workspace": workspace})]

    async def distinct_ids(self) -> int:
        """How many different events the log holds."""
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            values = await connection.scalars(text("SELECT value FROM log.records"))
            return len({decode(value).id for value in values})

    async def records(self) -> int:
        """How many records the log has taken so far."""
        return (await self.rows("SELECT 'records', coalesce(sum(head), 0)::int FROM log.partitions"))[0][1]


class Tripping:
    """The log, with a hand on the plug: `before` and `after` are called around every publish."""

    def __init__(self, log: EmbeddedLog) -> None:
        self._log = log
        self.before: Callable[[int], None] = lambda _number: None
        self.after: Callable[[int], None] = lambda _number: None
        self.publishes = 0

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        self.publishes += 1
        self.before(self.publishes)
        await self._log.publish(topic, records)
        self.after(self.publishes)


@pytest.fixture
async def bench(database: Database, tmp_path: Path) -> AsyncIterator[Bench]:
    log = EmbeddedLog(database, publish_timeout_seconds=20)
    await log.start()
    await log.ensure_topics(ALL_TOPICS)
    clock = ManualClock(NOW)
    handlers = Handlers(Scorer(database, Outbox("scorer"), clock), log, clock, database)
    yield Bench(database, log, handlers, clock, tmp_path / "positions")
    await log.stop()


def a_file(directory: Path, rows: int = 95, *, name: str = "people.csv") -> Path:
    """People who signed up, one a minute; every tenth row names nobody."""
    path = directory / name
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "mail", "at", "plan"])
        for n in range(rows):
            mail = "" if n % 10 == 9 else f"person{n % 40}@acme.example"
            writer.writerow([n, mail, (_FIRST + n * timedelta(minutes=1)).isoformat(), "team"])
    return path


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def interrupting_at(number: int) -> Callable[[Progress], None]:
    """Ctrl-C after `number` batches."""
    calls = Counter[str]()

    def on_progress(_: Progress) -> None:
        calls["batches"] += 1
        if calls["batches"] == number:
            raise asyncio.CancelledError

    return on_progress


async def test_a_second_run_adds_nothing(bench: Bench, tmp_path: Path) -> None:
    path, mapping = a_file(tmp_path), parse_mapping(MAPPING)
    first = await bench.run(path, mapping)
    once = await bench.scored()

    second = await bench.run(path, mapping)

    assert (first, second) == (second, first)
    assert (first.rows, first.accepted, first.refused) == (95, 86, {"no_identity": 9})
    assert once == {"signed_up": 86}
    assert await bench.records() == 2 * 86
    assert await bench.scored() == once


async def test_what_happened_long_ago_keeps_its_time(bench: Bench, tmp_path: Path) -> None:
    await bench.run(a_file(tmp_path, rows=3), parse_mapping(MAPPING))
    await bench.scored()

    times = await bench.rows("SELECT occurred_at::text, 1 FROM scorer.event ORDER BY occurred_at")

    assert [time for time, _ in times] == [f"2025-01-01 00:0{minute}:00+00" for minute in range(3)]


@pytest.mark.parametrize("batches", [1, 4, 8])
async def test_an_interrupted_run_that_is_resumed_equals_an_uninterrupted_one(
    bench: Bench, tmp_path: Path, batches: int
) -> None:
    path = a_file(tmp_path)
    one, other = (parse_mapping(MAPPING | {"workspace": name}) for name in ("one", "other"))
    whole = await bench.run(path, one)
    refused, records = bench.refused(path).read_bytes(), await bench.records()

    with pytest.raises(asyncio.CancelledError):
        await bench.run(path, other, on_progress=interrupting_at(batches))
    stopped = bench.positions(path).load()
    resumed = await bench.run(path, other)

    assert stopped is not None
    assert 0 < stopped.rows < whole.rows
    assert resumed == whole
    assert bench.refused(path).read_bytes() == refused
    assert await bench.records() == 2 * records
    await bench.scored()
    assert await bench.events("other") == await bench.events("one") != []


async def test_a_batch_that_was_durable_before_the_interruption_comes_again_and_counts_once(
    bench: Bench, tmp_path: Path
) -> None:
    def pull_after_the_third(log: Tripping) -> None:
        def after(number: int) -> None:
            if number == 3:
                raise asyncio.CancelledError

        log.after = after

    path, mapping = a_file(tmp_path), parse_mapping(MAPPING)
    with pytest.raises(asyncio.CancelledError):
        await bench.run(path, mapping, bench.importer(pull_after_the_third))
    position = bench.positions(path).load()

    resumed = await bench.run(path, mapping)

    assert position is not None
    assert position.rows == 20
    assert resumed.accepted == 86
    assert await bench.records() > 86
    assert await bench.scored() == {"signed_up": 86}


async def test_repetitions_are_found_across_an_interruption(bench: Bench, tmp_path: Path) -> None:
    path = a_file(tmp_path, rows=20)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, lines[1], lines[2].replace("team", "solo")]))
    mapping = parse_mapping(MAPPING)

    with pytest.raises(asyncio.CancelledError):
        await bench.run(path, mapping, on_progress=interrupting_at(2))
    done = await bench.run(path, mapping)

    assert (done.rows, done.accepted, done.repeated) == (22, 18, 1)
    assert done.refused == {"no_identity": 2, "id_reused": 1}


async def test_a_log_that_is_away_for_a_moment_is_waited_for(bench: Bench, tmp_path: Path) -> None:
    def away_twice(log: Tripping) -> None:
        def before(number: int) -> None:
            if number in {2, 3}:
                raise LogUnavailable("away", outcome_unknown=True)

        log.before = before

    done = await bench.run(a_file(tmp_path), parse_mapping(MAPPING), bench.importer(away_twice))

    assert done.accepted == 86
    assert await bench.scored() == {"signed_up": 86}


async def test_refused_rows_are_kept_with_their_line_and_reason(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    path.write_bytes(
        b"id,mail,at,plan\n"
        b'1,ann@acme.example,2025-01-01,"two\nlines"\n'
        b"2,not an address,2025-01-01,team\n"
        b"3,bo@acme.example,2025-01-01\n"
        b"4,caf\xe9@acme.example,2025-01-01,team\n"
        b"5,cy@acme.example,yesterday,team\n"
        b"6,di@acme.example,2031-01-01,team\n"
        b'7,ed@acme.example,2025-01-01,"open'
    )

    done = await bench.run(path, parse_mapping(MAPPING))

    refused = [json.loads(line) for line in bench.refused(path).read_text().splitlines()]  # noqa: TID251
    assert (done.rows, done.accepted) == (7, 1)
    assert [(row["line"], row["code"], row["field"]) for row in refused] == [
        (4, "invalid_email", "lead.email"),
        (5, "ragged_row", None),
        (6, "not_text", None),
        (7, "invalid_time", "occurred_at"),
        (8, "invalid_time", "occurred_at"),
        (9, "not_csv", None),
    ]
    assert refused[0]["row"] == {"id": "2", "mail": "not an address", "at": "2025-01-01", "plan": "team"}
    assert refused[0]["event"] == "signed_up"
    assert bench.refused(path).stat().st_mode & 0o077 == 0


async def test_without_refused_rows_there_is_no_file_of_them(bench: Bench, tmp_path: Path) -> None:
    path = a_file(tmp_path, rows=5)

    await bench.run(path, parse_mapping(MAPPING))

    assert not bench.refused(path).exists()


async def test_a_column_that_no_row_has_is_told(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "people.ndjson"
    row = {"id": 1, "mail": "ann@acme.example", "at": "2025-01-01"}
    path.write_text("".join(json.dumps(row | more) + "\n" for more in ({}, {"plan": "team"})), encoding="utf-8")
    event: Json = {"occurred_at": "at", "properties": {"plan": "plan", "seats": "seats"}}

    done = await bench.run(path, parse_mapping(MAPPING | {"events": {"signed_up": event}}))

    assert (done.accepted, done.never_found) == (2, ("seats",))


async def test_what_precedes_the_damage_of_an_archive_is_imported(bench: Bench, tmp_path: Path) -> None:
    whole = gzip.compress(a_file(tmp_path, rows=9).read_bytes())
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(whole[:-20])

    with pytest.raises(InvalidInput, match="damaged after line"):
        await bench.run(path, parse_mapping(MAPPING))

    assert (await bench.scored())["signed_up"] >= 1


class Command:
    """`leadflow import` as people type it, on a database of its own."""

    def __init__(self, url: str, directory: Path) -> None:
        self.directory = directory
        self.environment = {"LEADFLOW_DATABASE_URL": url, "LEADFLOW_DATA_DIR": str(directory / "data")}

    async def run(self, *arguments: str) -> Result:
        # A command runs a loop of its own, so it needs a thread of its own.
        return await asyncio.to_thread(CliRunner().invoke, app, ["import", *arguments], env=self.environment)

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "services", "import", *arguments]
        environment = {**os.environ, **self.environment}  # noqa: TID251 - tests have no settings
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def positions(self) -> list[Path]:
        return list((self.directory / "data" / "imports").glob("*.json"))


@pytest.fixture
def command(database_url: str, tmp_path: Path) -> Command:
    return Command(database_url, tmp_path)


_FLAGS = ("--type", "signed_up", "--id", "id", "--occurred-at", "at", "--email", "mail", "--property", "plan=plan")


async def test_the_command_imports_by_flags_and_says_what_it_did(command: Command, bench: Bench) -> None:
    path = a_file(command.directory)

    done = await command.run(str(path), *_FLAGS, "--source", "crm")

    assert done.exit_code == 0, done.output
    summary = " ".join(done.stdout.split())
    assert "rows 95 events accepted 86 repeated in the file 0 rows without an event 0 refused 9" in summary
    assert f"no_identity 9 refused rows are in {path}.refused.ndjson" in summary
    assert lines_of(Path(f"{path}.refused.ndjson")) == 9
    assert await bench.scored() == {"signed_up": 86}
    assert command.positions() == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "--mapping, --type or --type-column"),
        (("--type", "signed_up"), "events.event.occurred_at: is missing"),
        (("--type", "signed_up", "--at", "2025-01-01", "--email", "e-mail"), "lead.email: no column e-mail"),
        (("--type", "a", "--at", "2025-01-01", "--email", "mail", "--property", "x"), "must be NAME=COLUMN"),
        ((*_FLAGS, "--workspace", "elsewhere"), "no key opens the workspace elsewhere"),
        ((*_FLAGS, "--format", "xlsx"), "format: must be one of csv, ndjson"),
    ],
)
async def test_what_cannot_be_imported_is_said_in_words(
    command: Command, arguments: tuple[str, ...], complaint: str
) -> None:
    done = await command.run(str(a_file(command.directory)), *arguments)

    assert done.exit_code == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.output


@asynccontextmanager
async def only_so_many(database_url: str, offset: int) -> AsyncIterator[None]:
    """The embedded log takes records up to `offset` in a partition; who brings more waits until the block ends."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(f"""
            SELECT pg_advisory_lock(1);
            CREATE FUNCTION log.wait() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END';
            CREATE TRIGGER gate BEFORE INSERT ON log.records
                FOR EACH ROW WHEN (NEW."offset" >= {offset}) EXECUTE FUNCTION log.wait();
        """)
        yield
    finally:
        await connection.close()


async def test_ctrl_c_ends_the_command_and_the_same_command_goes_on(
    command: Command, bench: Bench, database_url: str
) -> None:
    path = a_file(command.directory, rows=60_000)
    async with only_so_many(database_url, 3000):
        with command.started(str(path), *_FLAGS) as process:
            await wait_until(lambda: bool(command.positions()), "the first batch is durable", timeout_seconds=60)
            process.send_signal(signal.SIGINT)
            _, complaint = await asyncio.to_thread(process.communicate, timeout=60)

    resumed = await command.run(str(path), *_FLAGS)

    assert process.returncode == 130
    assert "the same command goes on from there" in " ".join(complaint.split())
    assert "Traceback" not in complaint
    assert "going on after row" in " ".join(resumed.stderr.split())
    assert "events accepted 54,000" in " ".join(resumed.stdout.split())
    assert await bench.distinct_ids() == 54_000


@pytest.mark.kafka
async def test_the_command_publishes_to_kafka_too(command: Command, kafka_bootstrap: str) -> None:
    prefix = f"import-{uuid.uuid4().hex[:8]}-"
    command.environment |= {"LEADFLOW_KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap, "LEADFLOW_KAFKA_PREFIX": prefix}

    done = await command.run(str(a_file(command.directory)), *_FLAGS)

    assert done.exit_code == 0, done.output
    log = KafkaLog(kafka_bootstrap, prefix=prefix)
    await log.start()
    found: set[str] = set()
    async with log.consume([ENGAGEMENT_EVENTS.name], group="test", member="test") as consumer:

        async def all_are_there() -> bool:
            records = await consumer.poll(max_records=1000, timeout_seconds=0.5)
            found.update(decode(record.value).id for record in records)
            return len(found) == 86

        await wait_until(all_are_there, "every event is on the topic", timeout_seconds=30)
    await log.stop()


def mapping_of(name: str) -> ImportMapping:
    return parse_mapping(read_yaml((MAPPINGS / name).read_text(encoding="utf-8")))


async def imported_twice(bench: Bench, path: Path, mapping: ImportMapping) -> dict[str, int]:
    """The events by type; fails when a second run adds one or says anything else than the first."""
    first = await bench.run(path, mapping, bench.importer(batch_events=2000))
    once = await bench.scored()
    second = await bench.run(path, mapping, bench.importer(batch_events=2000))
    assert first == second
    assert first.refused == {}
    assert await bench.records() == 2 * first.accepted
    assert await bench.scored() == once
    return once


async def test_olist_twice(bench: Bench) -> None:
    leads, deals = dataset("olist_mql_dev.csv"), dataset("olist_closed_deals_dev.csv")
    once = await imported_twice(bench, leads, mapping_of("olist_mql.yaml"))
    won = await bench.run(deals, mapping_of("olist_closed_deals.yaml"))
    again = await bench.run(deals, mapping_of("olist_closed_deals.yaml"))

    assert once == {"lead_captured": len({row["mql_id"] for row in rows_of(leads)})}
    assert won == again
    assert await bench.scored() == {**once, "deal_won": len({row["mql_id"] for row in rows_of(deals)})}
    people = {row["mql_id"] for path in (leads, deals) for row in rows_of(path)}
    assert await bench.rows("SELECT 'leads', count(*) FROM scorer.lead WHERE merged_into IS NULL") == [
        ("leads", len(people))
    ]


async def test_maven_twice(bench: Bench) -> None:
    path = dataset("maven_crm_sales_pipeline.csv")

    once = await imported_twice(bench, path, mapping_of("maven_crm_pipeline.yaml"))

    rows = rows_of(path)
    stages = Counter(row["deal_stage"] for row in rows)
    assert once == {
        "stage_changed": sum(bool(row["engage_date"]) for row in rows),
        "deal_won": stages["Won"],
        "deal_lost": stages["Lost"],
    }


async def test_the_beginning_of_bpi_2012_twice(bench: Bench, tmp_path: Path) -> None:
    """A prefix: all 150,256 events, imported and scored twice, take more than a minute of two free cores."""
    path = prefix_of(dataset("bpic2012_events_dev.csv.gz"), 10_000, tmp_path / "bpi.csv")

    once = await imported_twice(bench, path, mapping_of("bpi_2012.yaml"))

    rows = rows_of(path)
    assert sum(once.values()) == len({tuple(row.values()) for row in rows}) == 10_000
    assert once["application_submitted"] == sum(row["activity"] == "A_SUBMITTED" for row in rows)
    assert once["offer_sent"] == sum(row["activity"] == "O_SENT" for row in rows)
    cases = {row["case_id"] for row in rows}
    assert await bench.rows("SELECT 'leads', count(*) FROM scorer.lead") == [("leads", len(cases))]


async def test_x_education_twice(bench: Bench) -> None:
    path = dataset("xeducation_leads_dev.csv.gz")

    once = await imported_twice(bench, path, mapping_of("x_education.yaml"))

    rows = rows_of(path)
    assert once == {"lead_captured": len({row["Prospect ID"] for row in rows})}
    google = sum(row["Lead Source"].lower() == "google" for row in rows)
    cities = sum(row["City"] not in {"", "Select"} for row in rows)
    known = await bench.attributes()
    assert sum(one.get("lead_source") == "google" for one in known) == google
    assert sum("city" in one for one in known) == cities


async def test_the_beginning_of_online_retail_counts_each_line_once(bench: Bench, tmp_path: Path) -> None:
    path = prefix_of(dataset("online_retail_dev.csv.gz"), 10_000, tmp_path / "retail.csv")
    mapping = mapping_of("online_retail.yaml")

    done = await bench.run(path, mapping, bench.importer(batch_events=2000))

    rows = rows_of(path)
    different = {tuple(row.values()) for row in rows}
    assert (done.rows, done.accepted, done.repeated) == (len(rows), len(different), len(rows) - len(different))
    assert done.repeated > 0
    assert done.refused == {}
    assert await bench.distinct_ids() == len(different)
