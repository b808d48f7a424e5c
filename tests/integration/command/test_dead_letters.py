"""`leadflow dead-letters` on both engines, as docs/operate.md tells it."""

import itertools
import re
from datetime import UTC, datetime

import pytest
from msgspec import structs
from pydantic_core import from_json

from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.errors import LogUnavailable
from shared.events.topics import ENGAGEMENT_EVENTS, LEAD_SCORES
from shared.log.dead_letter import DeadLetter, publish_dead_letters
from shared.log.embedded import EmbeddedLog
from shared.log.letter_sealing import erase_letters, set_aside
from shared.log.protocol import MAX_RECORD_BYTES, Log, Partition, ReceivedRecord, Record
from tests.integration.command.conftest import Invoke

TOPIC = ENGAGEMENT_EVENTS.name
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def everything(log: Log, topic: str) -> list[ReceivedRecord]:
    records: list[ReceivedRecord] = []
    for partition, extent in (await log.extent(topic)).items():
        if extent.end:
            records += await log.browse(partition, offset=0, max_records=1_000)
    return records


async def dead(log: Log, *values: bytes, reason: str = "not_json") -> None:
    """Records that were published and could not be handled."""
    for value in values:
        await log.publish(TOPIC, [Record(b"k", value, {"trace": b"\xff"})])
        letter = max(await everything(log, TOPIC), key=lambda record: record.offset)
        await publish_dead_letters(log, [DeadLetter(letter, reason)], now=NOW)


async def test_letters_are_listed_the_newest_first_and_page_by_page(invoke: Invoke, log: Log) -> None:
    await dead(log, b"one", b"two", b"three")

    page = from_json((await invoke("dead-letters", "list", "--limit", "2", "--json")).stdout)
    rest = from_json((await invoke("dead-letters", "list", "--before", page[-1]["letter"], "--json")).stdout)
    table = (await invoke("dead-letters", "list", "--reason", "not_json")).stdout
    none = (await invoke("dead-letters", "list", "--reason", "other")).stdout

    assert [one["letter"] for one in page + rest] == [f"{TOPIC}-dlq:0:{offset}" for offset in (2, 1, 0)]
    assert page[0] | {"from": None} == {
        "letter": f"{TOPIC}-dlq:0:2",
        "set_aside_at": "2026-03-01 12:00:00",
        "reason": "not_json",
        "from": None,
        "bytes": 5,
        "replay": None,
        "trace_id": None,
    }
    assert f"{TOPIC}-dlq:0:1" in table
    assert none == "no dead letters\n"


async def test_a_letter_is_shown_with_its_reason_its_headers_and_its_bytes(invoke: Invoke, log: Log) -> None:
    await dead(log, b'{"half":', b"\x00\x01")

    text = (await invoke("dead-letters", "show", f"{TOPIC}-dlq:0:0")).stdout
    binary = from_json((await invoke("dead-letters", "show", f"{TOPIC}-dlq:0:1", "--json")).stdout)

    assert "not_json" in text
    assert "trace: ff" in text
    assert text.endswith('\n{"half":\n')
    assert (binary["form"], binary["payload"]) == ("hex", "00000000  00 01")


async def test_a_letter_goes_back_as_it_came_and_only_once(invoke: Invoke, log: Log) -> None:
    await dead(log, b"\x00 as it was")
    before = await everything(log, TOPIC)

    first = await invoke("dead-letters", "replay", f"{TOPIC}-dlq:0:0")
    second = await invoke("dead-letters", "replay", f"{TOPIC}-dlq:0:0")
    listed = from_json((await invoke("dead-letters", "list", "--json")).stdout)
    status = from_json((await invoke("status", "--json")).stdout)
    once = await everything(log, TOPIC)
    third = await invoke("dead-letters", "replay", f"{TOPIC}-dlq:0:0", "--again")

    assert (first.exit_code, second.exit_code, third.exit_code) == (0, 1, 0)
    assert f"to {TOPIC}" in first.stdout
    assert "--again" in second.stdout
    assert listed[0]["replay"].startswith("at ")
    assert status["dead_letters"]["found"][f"{TOPIC}-dlq"] == {"kept": 1, "sent_back": 1}
    original, replayed = once
    assert len(before) == 1
    assert (replayed.partition, replayed.key, replayed.value, replayed.headers) == (
        original.partition,
        original.key,
        original.value,
        {"trace": b"\xff"},
    )
    assert len(await everything(log, TOPIC)) == 3


async def test_all_of_a_topic_goes_back_in_its_order_but_what_went_before(invoke: Invoke, log: Log) -> None:
    await dead(log, b"1", b"2", b"3")
    await invoke("dead-letters", "replay", f"{TOPIC}-dlq:0:1")

    asked = await invoke("dead-letters", "replay", "--topic", f"{TOPIC}-dlq", stdin="n\n")
    done = await invoke("dead-letters", "replay", "--topic", f"{TOPIC}-dlq", "--yes")
    nothing = await invoke("dead-letters", "replay", "--topic", f"{TOPIC}-dlq", "--yes")

    assert asked.exit_code == 1
    assert "2 sent back, 0 not" in done.stdout
    assert "0 sent back, 0 not" in nothing.stdout
    assert [record.value for record in await everything(log, TOPIC)] == [b"1", b"2", b"3", b"2", b"1", b"3"]


@pytest.mark.parametrize("engine", ["embedded"], indirect=True)
async def test_more_than_go_at_once_go_in_several_runs_the_oldest_first(
    invoke: Invoke, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.command.dead_letters._MOST", 2)
    monkeypatch.setattr("services.command.letters._STRETCH", 2)
    await dead(log, b"1", b"2", b"3", b"4", b"5")
    replay = ("dead-letters", "replay", "--topic", f"{TOPIC}-dlq", "--yes")

    runs = [(await invoke(*replay)).stdout.splitlines()[-1] for _ in range(4)]

    assert runs == [f"{sent} sent back, 0 not" for sent in (2, 2, 1, 0)]
    assert [record.value for record in await everything(log, TOPIC)][5:] == [b"1", b"2", b"3", b"4", b"5"]


async def test_letters_by_their_ids_go_the_oldest_first_and_are_told_of_in_their_order(
    invoke: Invoke, log: Log
) -> None:
    await dead(log, b"1", b"2", b"3")
    stray = f"{LEAD_SCORES.name}-dlq:0:5"
    ids = [f"{TOPIC}-dlq:0:2", stray, f"{TOPIC}-dlq:0:0", f"{TOPIC}-dlq:0:7", f"{TOPIC}-dlq:0:1"]

    done = await invoke("dead-letters", "replay", *ids)

    *told, last = done.stdout.splitlines()
    assert done.exit_code == 1
    assert told == [
        f"{ids[0]}: 1 bytes to {TOPIC}",
        f"{stray}: {stray} is not there, or no longer",
        f"{ids[2]}: 1 bytes to {TOPIC}",
        f"{ids[3]}: {ids[3]} is not there, or no longer",
        f"{ids[4]}: 1 bytes to {TOPIC}",
    ]
    assert last == "3 sent back, 2 not"
    assert [record.value for record in await everything(log, TOPIC)][3:] == [b"1", b"2", b"3"]


async def test_what_becomes_of_a_letter_is_its_own_matter(invoke: Invoke, log: Log, database: Database) -> None:
    await dead(log, b"first", b"x" * (MAX_RECORD_BYTES - 200))
    (first, *_) = await everything(log, TOPIC)
    erased = DeadLetter(structs.replace(first, offset=77, value=b"of an erased lead"), "not_json")
    await set_aside(database, log, [erased], now=NOW)
    await erase_letters(database, log, f"{TOPIC}-dlq", workspace="default", names=re.compile("erased lead"))
    await dead(log, b"last")

    done = await invoke("dead-letters", "replay", *(f"{TOPIC}-dlq:0:{offset}" for offset in (0, 1, 2, 3, 0)))

    outcomes = {line.split(": ")[0][-1]: line for line in done.stdout.splitlines()[:-1]}
    assert "sent back before" in outcomes["0"]
    assert "bytes were kept" in outcomes["1"]
    assert "was erased" in outcomes["2"]
    assert f"4 bytes to {TOPIC}" in outcomes["3"]
    assert done.stdout.endswith("2 sent back, 3 not\n")


@pytest.mark.parametrize("engine", ["embedded"], indirect=True)
async def test_a_log_that_does_not_answer_for_a_while_costs_only_the_letters_of_that_while(
    invoke: Invoke, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.command.letters._STRETCH", 2)
    await dead(log, b"1", b"2", b"3", b"4", b"5")
    letters = [f"{TOPIC}-dlq:0:{offset}" for offset in range(5)]
    browse, questions = EmbeddedLog.browse, itertools.count(1)

    async def stuttering(self: EmbeddedLog, partition: Partition, *, offset: int, max_records: int) -> object:
        if next(questions) == 2:
            raise LogUnavailable("it is away", outcome_unknown=False)
        return await browse(self, partition, offset=offset, max_records=max_records)

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedLog, "browse", stuttering)
        first = await invoke("dead-letters", "replay", *letters)
    second = await invoke("dead-letters", "replay", *letters)

    assert f"{letters[2]}: it is away" in first.stdout
    assert first.stdout.endswith("4 sent back, 1 not\n")
    assert second.stdout.endswith("1 sent back, 4 not\n")
    assert [record.value for record in await everything(log, TOPIC)][5:] == [b"1", b"2", b"4", b"5", b"3"]


async def test_twins_of_one_record_go_back_once(invoke: Invoke, log: Log) -> None:
    await dead(log, b"1")
    (letter,) = await everything(log, TOPIC)
    await publish_dead_letters(log, [DeadLetter(letter, "not_json")], now=NOW)

    done = await invoke("dead-letters", "replay", f"{TOPIC}-dlq:0:0", f"{TOPIC}-dlq:0:1")

    assert done.exit_code == 1
    assert "1 sent back, 1 not" in done.stdout


async def test_what_was_not_kept_whole_does_not_go_back(invoke: Invoke, log: Log) -> None:
    room = MAX_RECORD_BYTES - 200
    await dead(log, b"x" * room)

    done = await invoke("dead-letters", "replay", f"{TOPIC}-dlq:0:0")
    shown = await invoke("dead-letters", "show", f"{TOPIC}-dlq:0:0")

    assert done.exit_code == 1
    assert f"of its {room} bytes were kept" in done.stdout
    assert "it cannot be replayed" in shown.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nonsense"),
        ("show", f"{TOPIC}-dlq:0:0"),
        ("show", f"{TOPIC}-dlq:7:0"),
        ("list", "--topic", TOPIC),
        ("replay",),
        ("replay", "--topic", f"{TOPIC}-dlq", "--again"),
    ],
)
async def test_what_makes_no_sense_is_refused(invoke: Invoke, log: Log, arguments: tuple[str, ...]) -> None:
    refused = await invoke("dead-letters", *arguments)

    assert refused.exit_code == 1


@pytest.mark.postgres
async def test_a_letter_whose_outcome_nobody_knows_is_told_so(invoke: Invoke, log: Log, database: Database) -> None:
    await dead(log, b"1")
    (letter,) = await everything(log, TOPIC)
    async with database.transaction(ALL_WORKSPACES) as connection:
        await connection.exec_driver_sql(
            'INSERT INTO log.replayed_letter (topic, partition, "offset", published_at, state, replayed_at) '
            "VALUES ($1, $2, $3, $4, 'begun', $5)",
            (TOPIC, letter.partition.number, letter.offset, letter.published_at, NOW),
        )

    listed = from_json((await invoke("dead-letters", "list", "--json")).stdout)

    assert listed[0]["replay"] == "begun, outcome not known, at 2026-03-01 12:00:00"
