"""Dead letters as an operator reads them: by place, the newest first, with what became of each."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from msgspec import structs

from shared.db.engine import Database
from shared.errors import InvalidInput, Misconfigured
from shared.events.json import Json
from shared.events.topics import DEAD_LETTER_TOPICS
from shared.log.dead_letter import Origin, StoredLetter, stored_letter
from shared.log.letter_replays import Replay, replays_of
from shared.log.letter_sealing import opened_letter
from shared.log.protocol import Extent, Log, Partition

TOPICS = tuple(topic.name for topic in DEAD_LETTER_TOPICS)
_STRETCH = 100
_LONGEST_NUMBER = 18


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a letter stands; written `engagement-events-dlq:0:41`."""

    partition: Partition
    offset: int

    def __str__(self) -> str:
        return f"{self.partition.topic}:{self.partition.number}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Listed:
    """A letter, and whether it was sent back."""

    letter: StoredLetter
    replay: Replay | None

    @property
    def place(self) -> Place:
        """Its own place, by which people name it."""
        return _place_of_letter(self.letter)


def place_of(text: str) -> Place:
    """The place that `text` names. Raises InvalidInput when it names none."""
    topic, _, rest = text.partition(":")
    number, _, offset = rest.partition(":")
    if topic not in TOPICS or not (_is_number(number) and _is_number(offset)):
        raise InvalidInput(f"{text[:100]} is no letter: it must be TOPIC:PARTITION:OFFSET, as `list` shows it")
    return Place(Partition(topic, int(number)), int(offset))


def summary(one: Listed) -> dict[str, Json]:
    """A letter without its payload."""
    letter = one.letter
    origin = letter.origin
    came_from = f"{origin.partition.topic}:{origin.partition.number}:{origin.offset}" if origin else None
    return {
        "letter": str(one.place),
        "set_aside_at": f"{letter.died_at:%Y-%m-%d %H:%M:%S}",
        "reason": letter.reason,
        "from": came_from,
        "bytes": letter.whole_bytes,
        "trace_id": letter.trace_id,
        "replay": _said(one.replay),
    }


async def newest(
    database: Database, log: Log, topics: Sequence[str], *, reason: str | None, limit: int, before: Place | None
) -> list[Listed]:
    """Letters of `topics` from the newest on, without their payloads, of which there may be a gigabyte.

    Those of no other partition than that of `before`, if given.
    """
    existing = await log.topics()
    letters: list[StoredLetter] = []
    for topic in topics:
        if topic not in existing:
            continue
        extents = await log.extent(topic)
        for partition, extent in extents.items():
            if before is None or partition == before.partition:
                until = extent.end if before is None else min(before.offset, extent.end)
                letters += await _of_partition(
                    log, partition, Extent(extent.first, until), reason=reason, limit=limit
                )
    letters.sort(key=lambda letter: (letter.record.published_at, letter.record.offset), reverse=True)
    return await _with_replays(database, letters[:limit])


async def not_sent_back(database: Database, log: Log, topic: str, *, reason: str | None, limit: int) -> list[Place]:
    """The oldest letters of `topic` that did not go back yet, in their order."""
    found: list[Place] = []
    extents = await log.extent(topic) if topic in await log.topics() else {}
    for partition, extent in extents.items():
        for start in range(extent.first, extent.end, _STRETCH):
            letters = await _stretch(log, partition, Extent(start, min(start + _STRETCH, extent.end)))
            wanted = [letter for letter in letters if reason is None or letter.reason == reason]
            found += [one.place for one in await _with_replays(database, wanted) if one.replay is None]
            if len(found) >= limit:
                return found[:limit]
    return found


class Letters:
    """The letters at `places` for somebody who takes them one by one, best in the order of their places.

    Then neighbours come by one question to the log: on Kafka each opens connections of its own. At hand is what the
    last one gave, which is some megabytes at most.
    """

    def __init__(self, database: Database, log: Log, places: Collection[Place]) -> None:
        self._database = database
        self._log = log
        self._places = frozenset(places)
        self._asked: frozenset[Place] = frozenset()
        self._at_hand: Mapping[Place, StoredLetter] = {}

    async def at(self, place: Place) -> StoredLetter:
        """The letter at `place`, opened. Raises InvalidInput(not_found), LogUnavailable."""
        if place not in self._asked:
            # A topic that nobody has made holds no letter either.
            with suppress(Misconfigured):
                await self._ask(place)
        if place not in self._at_hand:
            raise InvalidInput(f"{place} is not there, or no longer", code="not_found", field="letter")
        return await opened_letter(self._database, self._at_hand[place])

    async def _ask(self, place: Place) -> None:
        ahead = [Place(place.partition, offset) for offset in range(place.offset, place.offset + _STRETCH)]
        wanted = self._places.intersection(ahead)
        extent = Extent(place.offset, max(wanted).offset + 1)
        letters, until = await _read(self._log, place.partition, extent)
        found = {_place_of_letter(letter): letter for letter in letters}
        self._asked = frozenset(one for one in wanted if one.offset < until)
        self._at_hand = {one: found[one] for one in wanted if one in found}


async def found_at(database: Database, log: Log, place: Place) -> Listed:
    """The letter at `place`, opened. Raises InvalidInput(not_found)."""
    letter = await Letters(database, log, [place]).at(place)
    (found,) = await _with_replays(database, [letter])
    return found


async def _with_replays(database: Database, letters: Sequence[StoredLetter]) -> list[Listed]:
    known: Mapping[Origin, Replay] = await replays_of(database, [one.origin for one in letters if one.origin])
    return [Listed(letter, known.get(letter.origin) if letter.origin else None) for letter in letters]


async def _of_partition(
    log: Log, partition: Partition, extent: Extent, *, reason: str | None, limit: int
) -> list[StoredLetter]:
    """Up to `limit` letters of a partition from its end on, a stretch at a time."""
    found: list[StoredLetter] = []
    end = extent.end
    while end > extent.first and len(found) < limit:
        start = max(extent.first, end - _STRETCH)
        letters = await _stretch(log, partition, Extent(start, end))
        found += [letter for letter in reversed(letters) if reason is None or letter.reason == reason]
        end = start
    return found[:limit]


async def _stretch(log: Log, partition: Partition, extent: Extent) -> list[StoredLetter]:
    letters: list[StoredLetter] = []
    start = extent.first
    while start < extent.end:
        more, start = await _read(log, partition, Extent(start, extent.end))
        letters += [_without_payload(letter) for letter in more]
    return letters


async def _read(log: Log, partition: Partition, extent: Extent) -> tuple[list[StoredLetter], int]:
    """What one question gives of the letters in `extent`, and the offset up to which that is all of them."""
    records = await log.browse(partition, offset=extent.first, max_records=extent.end - extent.first)
    letters = [stored_letter(record) for record in records if record.offset < extent.end]
    return letters, records[-1].offset + 1 if records else extent.end


def _place_of_letter(letter: StoredLetter) -> Place:
    return Place(letter.record.partition, letter.record.offset)


def _without_payload(letter: StoredLetter) -> StoredLetter:
    return replace(letter, record=structs.replace(letter.record, value=b""))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER


def _said(replay: Replay | None) -> str | None:
    if replay is None:
        return None
    words = "at" if replay.state == "done" else "begun, outcome not known, at"
    return f"{words} {replay.at:%Y-%m-%d %H:%M:%S}"
