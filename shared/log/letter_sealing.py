"""Dead letters hold what nobody could read, so nobody knows whose it is: each is sealed with a key of its own.

Letters cannot be taken out of a topic. Whoever deletes a letter's key has erased it all the same; a letter is of the
erased lead if one of the lead's names stands in it. Keys end with the letters' retention.
"""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from pydantic_core import from_json

from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.events.topics import DEAD_LETTER_TOPICS, TopicSpec
from shared.log.dead_letter import (
    DeadLetter,
    StoredLetter,
    publish_dead_letters,
    stored_letter,
    topic_of_dead_letters,
)
from shared.log.protocol import MAX_RECORD_BYTES, Log, ReceivedRecord, Record, size_of
from shared.sealing.data_keys import Item, delete_keys, sealing_of
from shared.sealing.envelope import key_id_of
from shared.sealing.erasures import Erasure
from shared.sealing.mentions import mentions, pattern_of

ABOUT = b"letter"
# Letters belong to no workspace as long as nobody can read them; only work that spans all of them opens any.
NO_WORKSPACE = ""
_STRETCH = 200
# More than what sealing and the headers about a letter add.
_FRAME_BYTES = 4096


async def sealed_letters(
    database: Database, letters: Sequence[DeadLetter], *, now: datetime, retention_seconds: int
) -> list[DeadLetter]:
    """The letters with their contents sealed, each with a key that lasts as long as the topic keeps it."""
    if not letters:
        return []
    items = [Item(uuid4(), NO_WORKSPACE, _kept(letter.record)) for letter in letters]
    until = now + timedelta(seconds=retention_seconds)
    async with database.transaction(ALL_WORKSPACES) as connection:
        sealing = sealing_of(connection)
        if not sealing.on:
            return list(letters)
        contents = await sealing.seal(connection, items, ABOUT, expires_at=until)
    return [replace(letter, sealed=content) for letter, content in zip(letters, contents, strict=True)]


async def set_aside(database: Database, log: Log, letters: Sequence[DeadLetter], *, now: datetime) -> None:
    """Return when the letters are durable, each sealed; only then may their offsets be committed.

    Raises TransientError: then the batch comes again, and its letters with it.
    """
    by_topic: dict[str, list[DeadLetter]] = {}
    for letter in letters:
        by_topic.setdefault(topic_of_dead_letters(letter.record.partition.topic), []).append(letter)
    for topic, some in by_topic.items():
        retention_seconds = retention_of(topic)
        sealed = await sealed_letters(database, some, now=now, retention_seconds=retention_seconds)
        await publish_dead_letters(log, sealed, now=now)


async def opened_letter(database: Database, letter: StoredLetter) -> StoredLetter:
    """The letter with its content as it was; without any, where that was erased."""
    if not letter.is_sealed:
        return letter
    return (await _opened(database, [letter]))[0]


async def erase_letters(database: Database, log: Log, topic: str, *, workspace: str, names: re.Pattern[str]) -> int:
    """Erase what letters on the topic of dead letters `topic` name somebody; returns how many did.

    What says that it is of another workspace is not touched. Letters of before there were keys stay to their end.
    """
    erased: list[UUID] = []
    async for letters in _stretches(log, topic):
        sealed = [letter for letter in letters if letter.is_sealed]
        for before, letter in zip(sealed, await _opened(database, sealed), strict=True):
            content = letter.record.value
            if _may_be_of(content, workspace) and mentions(content, names):
                erased.append(key_id_of(before.record.value))
    if erased:
        async with database.transaction(ALL_WORKSPACES) as connection:
            await delete_keys(connection, NO_WORKSPACE, erased)
    return len(erased)


async def erase_letters_of(database: Database, log: Log, topic: TopicSpec, erasure: Erasure) -> None:
    """Erase the letters of records of `topic` that name the erased lead."""
    names = pattern_of(erasure.values)
    if names is not None:
        letters = topic_of_dead_letters(topic.name)
        await erase_letters(database, log, letters, workspace=erasure.workspace, names=names)


async def letters_naming(
    database: Database, log: Log, topic: str, *, workspace: str, names: re.Pattern[str]
) -> list[StoredLetter]:
    """The letters on a topic of dead letters that name somebody, opened."""
    return [
        letter
        async for letters in _stretches(log, topic)
        for letter in await _opened(database, letters)
        if _may_be_of(letter.record.value, workspace) and mentions(letter.record.value, names)
    ]


def retention_of(topic: str) -> int:
    """How long a topic of dead letters keeps them, in seconds."""
    return next(spec.retention_seconds for spec in DEAD_LETTER_TOPICS if spec.name == topic)


async def _opened(database: Database, letters: Sequence[StoredLetter]) -> list[StoredLetter]:
    if not any(letter.is_sealed for letter in letters):
        return list(letters)
    async with database.transaction(ALL_WORKSPACES) as connection:
        sealed = [letter.record.value if letter.is_sealed else b"" for letter in letters]
        contents = await sealing_of(connection).open(connection, sealed, ABOUT)
    return [
        letter.opened(content) if letter.is_sealed else letter
        for letter, content in zip(letters, contents, strict=True)
    ]


async def _stretches(log: Log, topic: str) -> AsyncIterator[list[StoredLetter]]:
    if topic not in await log.topics():
        return
    for partition, extent in (await log.extent(topic)).items():
        start = extent.first
        while start < extent.end:
            records = await log.browse(partition, offset=start, max_records=_STRETCH)
            if not records:
                break
            yield [stored_letter(record) for record in records]
            start = records[-1].offset + 1


def _kept(record: ReceivedRecord) -> bytes:
    """What of a record goes into its letter: all, unless it is at the size limit, where the frame has no room."""
    room = MAX_RECORD_BYTES - size_of(Record(record.key, record.value, record.headers)) - _FRAME_BYTES
    return record.value if room >= 0 else record.value[:room]


def _may_be_of(content: bytes, workspace: str) -> bool:
    try:
        document = from_json(content)
    except ValueError:
        return True
    said = document.get("workspace") if isinstance(document, dict) else None
    return not isinstance(said, str) or said == workspace
