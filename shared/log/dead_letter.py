"""Where records go that can never be handled: their own bytes, with the reason beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from msgspec import structs

from shared.errors import InvalidInput, Refused
from shared.log.protocol import MAX_RECORD_BYTES, Log, Partition, ReceivedRecord, Record, size_of
from shared.observability import tracing
from shared.observability.metrics import DEAD_LETTERS, BoundedLabel
from shared.sealing.envelope import is_sealed

_PREFIX = "dead-letter-"
_REASON_CHARACTERS = 500
_USUAL_REASONS = ("invalid_message", "not_json", "not_storable", "no_identity", "wrong_type", "workspace_mismatch")
_REASONS = BoundedLabel(30)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record and why nobody can handle it. `reason` goes into a header: no personal data.

    `sealed` is its content for those who have the key, and what then goes into the topic.
    """

    record: ReceivedRecord
    reason: str
    sealed: bytes | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """The record that died: where it stood, and when the log had taken it."""

    partition: Partition
    offset: int
    published_at: datetime


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A dead letter as its topic has it. `died_at` is when it was set aside; `origin` is None where the headers
    do not say. Of a record at the size limit only the beginning was kept, then `whole_bytes` is its length.
    While it is sealed, the record's value is what is in the topic; erased, it has none.
    """

    record: ReceivedRecord
    reason: str
    died_at: datetime
    origin: Origin | None
    whole_bytes: int
    is_sealed: bool = False
    is_erased: bool = False

    def opened(self, content: bytes | None) -> "StoredLetter":
        """The letter with its content; None where nobody has the key any more."""
        record = structs.replace(self.record, value=content or b"")
        return replace(self, record=record, is_sealed=False, is_erased=content is None)

    @property
    def trace_id(self) -> str | None:
        """The trace in which the record came."""
        trace = tracing.read_record(self.record)
        return None if trace is None else trace.trace_id

    def original(self) -> Record:
        """The record as it was published once. Raises Refused when it was erased, or not all of it was kept."""
        if self.is_erased:
            raise Refused("what it held was erased", code="letter_erased")
        if len(self.record.value) < self.whole_bytes:
            raise Refused(
                f"only {len(self.record.value)} of its {self.whole_bytes} bytes were kept", code="letter_cut_off"
            )
        headers = {name: value for name, value in self.record.headers.items() if not name.startswith(_PREFIX)}
        return Record(self.record.key, self.record.value, headers)


Message = TypeVar("Message")


def sort_out(
    records: Sequence[ReceivedRecord], read: Callable[[ReceivedRecord], Message]
) -> tuple[list[Message], list[DeadLetter]]:
    """What `read` makes of each record, and those for which it raises InvalidInput."""
    messages: list[Message] = []
    letters: list[DeadLetter] = []
    for record in records:
        try:
            messages.append(read(record))
        except InvalidInput as error:
            letters.append(DeadLetter(record, error.code))
    return messages, letters


def topic_of_dead_letters(topic: str) -> str:
    return f"{topic}-dlq"


async def publish_dead_letters(log: Log, letters: Sequence[DeadLetter], *, now: datetime) -> None:
    """Return when the letters are durable; only then may the caller commit the offsets of their records.

    Raises LogUnavailable: then the batch comes again, and its letters with it.
    """
    by_topic: dict[str, list[Record]] = {}
    for letter in letters:
        topic = topic_of_dead_letters(letter.record.partition.topic)
        by_topic.setdefault(topic, []).append(_enveloped(letter, now))
    for topic, records in by_topic.items():
        await log.publish(topic, records)
    for letter in letters:
        DEAD_LETTERS.labels(letter.record.partition.topic, _REASONS.fold(letter.reason)).inc()


def initialise_dead_letters(topic: str) -> None:
    """Let the usual reasons start at 0, so that rates see the first letter of a topic."""
    for reason in _USUAL_REASONS:
        DEAD_LETTERS.labels(topic, _REASONS.fold(reason))


def stored_letter(record: ReceivedRecord) -> StoredLetter:
    """What the headers of a record on a topic of dead letters say; what they do not say is not guessed."""
    said = {
        name.removeprefix(_PREFIX): value.decode(errors="replace")
        for name, value in record.headers.items()
        if name.startswith(_PREFIX)
    }
    return StoredLetter(
        record=record,
        reason=said.get("reason", "unknown"),
        died_at=_moment(said.get("time", "")) or record.published_at,
        origin=_origin(said),
        whole_bytes=int(said["value-bytes"]) if said.get("value-bytes", "").isdigit() else len(record.value),
        is_sealed=said.get("sealed") == "1" and is_sealed(record.value),
    )


def _origin(said: Mapping[str, str]) -> Origin | None:
    published_at = _moment(said.get("published-at", ""))
    partition, offset = said.get("partition", ""), said.get("offset", "")
    if published_at is None or "topic" not in said or not (partition.isdigit() and offset.isdigit()):
        return None
    return Origin(Partition(said["topic"], int(partition)), int(offset), published_at)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _enveloped(letter: DeadLetter, now: datetime) -> Record:
    """The bytes as they came. Beside a record at the size limit there is no room: then its own headers go
    first, but for where it comes from, and what of its end does not fit, with its whole length in a header.
    """
    received, about = letter.record, _about(letter, now)
    if letter.sealed is not None:
        about |= {f"{_PREFIX}sealed": b"1", f"{_PREFIX}value-bytes": str(len(received.value)).encode()}
        return Record(received.key, letter.sealed, {**received.headers, **about})
    record = Record(received.key, received.value, {**received.headers, **about})
    if size_of(record) <= MAX_RECORD_BYTES:
        return record
    about[f"{_PREFIX}value-bytes"] = str(len(received.value)).encode()
    if (trace := tracing.read_record(received)) is not None:
        about |= trace.headers()
    room = MAX_RECORD_BYTES - size_of(Record(received.key, b"", about))
    return Record(received.key, received.value[:room], about)


def _about(letter: DeadLetter, now: datetime) -> dict[str, bytes]:
    received = letter.record
    return {
        f"{_PREFIX}topic": received.partition.topic.encode(),
        f"{_PREFIX}partition": str(received.partition.number).encode(),
        f"{_PREFIX}offset": str(received.offset).encode(),
        f"{_PREFIX}published-at": received.published_at.isoformat().encode(),
        f"{_PREFIX}time": now.isoformat().encode(),
        f"{_PREFIX}reason": letter.reason[:_REASON_CHARACTERS].encode(errors="replace"),
    }
