"""`leadflow leads`: export, erase and seal, on both engines, as docs/erasure.md tells it."""

from base64 import b64encode
from pathlib import Path

import pytest
from pydantic_core import from_json
from sqlalchemy import text

from services.scorer.models import versions
from services.scorer.service import Scorer
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.events.json import Json
from shared.events.topics import ENGAGEMENT_EVENTS, LEAD_SCORES
from shared.log.dead_letter import DeadLetter
from shared.log.letter_sealing import set_aside
from shared.log.protocol import Log, Partition, ReceivedRecord
from shared.sealing.data_keys import Sealing
from tests.integration.command.conftest import Invoke
from tests.support.builders import a_rule
from tests.support.messages import NOON, an_event

EMAIL = "ann@acme.example"
KEY = b64encode(bytes(range(32))).decode()


async def count(database: Database, *ids: str, email: str = EMAIL) -> None:
    clock = SystemClock()
    document: Json = {"model": "test", "scores": {"engagement": {"rules": [a_rule()]}}}
    await versions.publish(database, clock, "default", document, by="test", reason="test")
    events = [an_event(id_, email=email) for id_ in ids]
    await Scorer(database, Outbox("scorer"), clock).count(events, reach=ALL_WORKSPACES)


async def a_letter_that_names_her(database: Database, log: Log) -> None:
    record = ReceivedRecord(Partition(ENGAGEMENT_EVENTS.name, 0), 7, b"k", b"half of ANN%40acme.example's", {}, NOON)
    await set_aside(database, log, [DeadLetter(record, "not_json")], now=SystemClock().now())


async def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    async with database.transaction(ALL_WORKSPACES) as connection:
        return [tuple(row) for row in await connection.execute(text(query))]


async def test_an_export_goes_to_a_file_of_ones_own(
    invoke: Invoke, database: Database, log: Log, tmp_path: Path
) -> None:
    await count(database, "e-1", "e-2")
    await a_letter_that_names_her(database, log)
    out = tmp_path / "ann.json"

    done = await invoke("leads", "export", EMAIL, "--out", str(out))

    assert (done.exit_code, out.stat().st_mode & 0o777) == (0, 0o600)
    export = from_json(out.read_bytes())
    assert [one["event"]["id"] for one in export["scorer"]["events"]] == ["e-1", "e-2"]
    assert [one["value"] for one in export["scorer"]["identities"]] == [EMAIL]
    assert [one["value"] for one in export["dead_letters"]] == ["half of ANN%40acme.example's"]


async def test_a_lead_is_erased_at_once_without_a_running_service(
    invoke: Invoke, database: Database, log: Log
) -> None:
    await count(database, "e-1")
    await count(database, "e-2", email="bob@acme.example")
    await a_letter_that_names_her(database, log)

    done = await invoke("leads", "erase", EMAIL, "--yes", "--json")
    again = await invoke("leads", "erase", EMAIL, "--yes")
    letter = await invoke("dead-letters", "show", f"{ENGAGEMENT_EVENTS.name}-dlq:0:0")
    replay = await invoke("dead-letters", "replay", f"{ENGAGEMENT_EVENTS.name}-dlq:0:0")

    assert done.exit_code == 0, done.output
    assert from_json(done.stdout)[0]["missing"] == []
    assert again.exit_code == 1
    assert "was erased" in letter.stdout
    assert (replay.exit_code, "was erased" in replay.output) == (1, True)
    assert await rows(database, "SELECT event_id FROM scorer.event") == [("e-2",)]
    assert await rows(database, "SELECT names IS NULL FROM sealing.erasure") == [(True,)]
    told = [one.value for partition in await log.extent(LEAD_SCORES.name) for one in await _all(log, partition)]
    assert sum(b'"lead.erased"' in value for value in told) == 1


async def _all(log: Log, partition: Partition) -> list[ReceivedRecord]:
    extent = (await log.extent(partition.topic))[partition]
    return list(await log.browse(partition, offset=0, max_records=100)) if extent.end else []


@pytest.mark.postgres
async def test_what_was_stored_before_is_sealed_and_reads_the_same(
    invoke: Invoke, environment: pytest.MonkeyPatch, database_url: str
) -> None:
    plain = Database(database_url, sealing=Sealing(on=False))
    await count(plain, "e-1", "e-2")
    await plain.close()
    environment.setenv("LEADFLOW_SEALING_KEYS", KEY)

    done = await invoke("leads", "seal")
    twice = await invoke("leads", "seal")
    verified = await invoke("rebuild", "--verify", "--processes", "2")
    environment.setenv("LEADFLOW_SEALING_KEYS", "")
    without = await invoke("leads", "export", EMAIL)

    assert done.stdout == (
        "2 events, 1 scored leads, 1 names and 0 leads of the pipeline sealed, "
        "0 data keys put under the first master key\n"
    )
    assert twice.stdout == (
        "0 events, 0 scored leads, 0 names and 0 leads of the pipeline sealed, "
        "0 data keys put under the first master key\n"
    )
    assert (verified.exit_code, "0 differ" in verified.stdout) == (0, True)
    assert (without.exit_code, "lacks the master key" in without.output) == (1, True)


@pytest.mark.postgres
async def test_what_a_backup_brings_back_is_erased_again(
    invoke: Invoke, environment: pytest.MonkeyPatch, database: Database
) -> None:
    await count(database, "e-1")
    assert (await invoke("leads", "erase", EMAIL, "--yes")).exit_code == 0
    gone = await rows(database, "SELECT lead_id FROM sealing.erasure")
    async with database.transaction(ALL_WORKSPACES) as connection:
        await connection.execute(
            text("INSERT INTO scorer.lead (id, workspace, created_at) VALUES (:id, 'default', now())"),
            {"id": gone[0][0]},
        )
        await connection.execute(
            text("INSERT INTO scorer.identity VALUES ('default', 'email', :email, :id, now())"),
            {"id": gone[0][0], "email": EMAIL},
        )

    done = await invoke("leads", "erase", "--restored")
    nothing = await invoke("leads", "erase", "--restored")

    assert done.stdout == f"lead {gone[0][0]} is erased, with 0 that had become part of it\n"
    assert nothing.stdout == "nothing to erase\n"
    assert await rows(database, "SELECT * FROM scorer.identity") == []


@pytest.mark.postgres
@pytest.mark.parametrize(("arguments", "words"), [((), "give a lead"), (("nobody",), "neither the id")])
async def test_whom_to_erase_must_be_clear(invoke: Invoke, arguments: tuple[str, ...], words: str) -> None:
    done = await invoke("leads", "erase", *arguments, "--yes")

    assert (done.exit_code, words in f"{done.output}{done.exception}") == (1, True)
