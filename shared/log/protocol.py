"""The log: how services talk. One protocol, two engines (`kafka`, `embedded`), one contract suite.

Nothing in here, and nothing that uses it, may know which engine it has. What only one engine can do
is not in the protocol.

The promises, each held by a test in tests/contract/test_log.py:

- A publish that returned is durable. One that raised LogUnavailable is not promised: unless the error
  says otherwise the records may still appear, so they carry ids by which consumers drop duplicates.
- Records with the same key land in the same partition of a topic and keep the order of publishing.
- Every group sees every record at least once. A group that never committed starts at the oldest one.
- A committed offset survives restarts; a server that crashes may take the last ones back. What was polled but not
  committed is delivered again.
- The members of a group share the partitions; when one leaves, or stops answering for the session
  timeout, the others take over. A commit by a member that lost the partition raises CommitRejected.
- Keys, values and headers come out byte for byte as they went in. A record larger than MAX_RECORD_BYTES
  is refused before anything of its batch is published.
- Looking on (topics, extent, browse, group) joins nothing and commits nothing; no group's records change by it.
- No call blocks for longer than the timeout it is given, or that the engine was configured with.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from msgspec import Struct, field

from shared.errors import InvalidInput
from shared.events.topics import TopicSpec

# What Kafka's brokers take by default. `size_of` counts the framing generously, so both engines agree.
MAX_RECORD_BYTES = 1024 * 1024
# What one `browse` gives, by the values: those who read on in a loop hold no more at once.
BROWSED_BYTES = 4 * 1024 * 1024
_FRAMING_BYTES = 128
_HEADER_FRAMING_BYTES = 12


class Record(Struct, frozen=True, gc=False):
    """What is published: `key` decides the partition, `value` is the message, headers ride along."""

    key: bytes
    value: bytes
    headers: Mapping[str, bytes] = field(default_factory=dict)


def size_of(record: Record) -> int:
    """Bytes that count against MAX_RECORD_BYTES: key, value, headers and their framing."""
    return sizes_of((record,))[0]


def sizes_of(records: Iterable[Record]) -> list[int]:
    """The size of each record. Those of a request share their headers, which are looked at once."""
    sizes = []
    headers: Mapping[str, bytes] | None = None
    around = 0
    for record in records:
        if record.headers is not headers:
            headers = record.headers
            around = _FRAMING_BYTES
            for name, value in headers.items():
                around += _HEADER_FRAMING_BYTES + len(name.encode()) + len(value)
        sizes.append(around + len(record.key) + len(record.value))
    return sizes


def total_size(records: Sequence[Record]) -> int:
    """Bytes of a batch. Raises InvalidInput when one of its records is larger than the log takes."""
    sizes = sizes_of(records)
    if sizes and max(sizes) > MAX_RECORD_BYTES:
        raise InvalidInput(
            f"a record of {max(sizes)} bytes is larger than the log takes ({MAX_RECORD_BYTES})",
            code="record_too_large",
        )
    return sum(sizes)


class Partition(Struct, frozen=True, order=True, gc=False):
    """One ordered part of a topic."""

    topic: str
    number: int


class ReceivedRecord(Struct, frozen=True, gc=False):
    """A record as the log kept it: where it stands, and when the log took it (UTC)."""

    partition: Partition
    offset: int
    key: bytes
    value: bytes
    headers: Mapping[str, bytes]
    published_at: datetime


def next_offsets(records: Sequence[ReceivedRecord]) -> dict[Partition, int]:
    """Where each partition goes on behind `records`, which are in its order."""
    return {record.partition: record.offset + 1 for record in records}


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a group is behind on one partition: records not committed, and the age of the oldest.

    `seconds` is never more than that age; less only for records that this member has not seen yet.
    """

    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Rebalances:
    """How often partitions were given out anew to a member, and how long it had to wait for them altogether."""

    number: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Rebalances") -> "Rebalances":
        return Rebalances(self.number + other.number, self.seconds + other.seconds)


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the log has it: the fewest copies of its partitions, those of them that are up to date, and how
    many partitions nobody leads, so that they take and give nothing. The embedded log is one copy.

    `min_in_sync`: how many copies must be up to date for it to take records; None when Kafka does not tell.
    """

    partitions: int
    replicas: int
    in_sync: int
    leaderless: int
    min_in_sync: int | None

    @property
    def takes_records(self) -> bool:
        """Whether all of its partitions do; while Kafka does not tell how many copies it takes, all of them."""
        needed = self.replicas if self.min_in_sync is None else self.min_in_sync
        return not self.leaderless and self.in_sync >= needed


@dataclass(frozen=True, slots=True)
class Extent:
    """What a partition holds: from `first`, the oldest record still kept, up to but without `end`."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class GroupState:
    """A group seen from outside: how many members live, and what it has not committed.

    Unlike a member's own, these lags have the age of the oldest record in the log itself.
    """

    members: int
    lag: Mapping[Partition, Lag]


class Consumer(Protocol):
    """One member of a group. Not safe for concurrent calls: one task polls, works and commits."""

    async def poll(self, *, max_records: int, timeout_seconds: float) -> Sequence[ReceivedRecord]:
        """Up to `max_records` further records of the partitions this member holds; empty after the timeout.

        Per partition in offset order. After a rebalance polling goes on from the committed offsets, so
        records may come again. May raise LogUnavailable while the log is away, or come back empty.
        """
        ...

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Remember, per partition, the offset of the next record to read (last handled + 1).

        Only of what this member polled. Raises CommitRejected when a partition was taken away since then,
        even if it came back (drop the batch and poll on: it comes again); LogUnavailable when the log did
        not answer (the same batch will come again, or not).
        """
        ...

    async def rewind(self) -> None:
        """Forget what was polled and not committed: the next poll delivers it again (a batch failed, say)."""
        ...

    def assignment(self) -> frozenset[Partition]:
        """The partitions this member holds as far as it knows; empty before the first poll."""
        ...

    def rebalances(self) -> Rebalances:
        """What this member has seen of them since it joined; joining is one."""
        ...

    async def lag(self) -> Mapping[Partition, Lag]:
        """How far behind this member's partitions are. Raises LogUnavailable."""
        ...


class Log(Protocol):
    """A durable, partitioned, ordered log. `start` before use, `stop` once after, both bounded in time."""

    async def start(self) -> None:
        """Connect. Raises LogUnavailable, or Misconfigured when trying again cannot help."""
        ...

    async def stop(self) -> None:
        """Let go of everything; never raises, never hangs."""
        ...

    async def ensure_topics(self, topics: Sequence[TopicSpec]) -> None:
        """Create the topics that are missing. Raises Misconfigured if one exists with fewer partitions."""
        ...

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        """Return when every record is durable, in order per key.

        Raises LogUnavailable within the publish timeout (5 s by default); InvalidInput for a record that is
        larger than the log takes, and then none of the batch is published; Misconfigured for a topic that
        nobody has ensured.
        """
        ...

    def consume(self, topics: Sequence[str], *, group: str, member: str) -> AbstractAsyncContextManager[Consumer]:
        """Join `group` as `member` (a stable name); leaving the context leaves the group.

        Two live members of one name are a mistake, which an engine may answer with Misconfigured from poll.
        Entering raises LogUnavailable, or Misconfigured for a topic that nobody has ensured.
        """
        ...

    async def check(self) -> None:
        """Answer within a second if publishing would work now. Raises LogUnavailable."""
        ...

    async def fails_us_alone(self) -> bool:
        """After a failed `publish`: whether, as far as can be told, another process would have succeeded."""
        ...

    async def topics(self) -> Mapping[str, TopicState]:
        """Every topic that exists. Raises LogUnavailable, as all that follow; those Misconfigured, too, for a topic
        that nobody has ensured.
        """
        ...

    async def extent(self, topic: str) -> Mapping[Partition, Extent]:
        """How much of a topic is kept."""
        ...

    async def browse(self, partition: Partition, *, offset: int, max_records: int) -> Sequence[ReceivedRecord]:
        """Up to `max_records` of a partition from `offset` on, in order, for people: no group is joined, nothing is
        committed. What is no longer kept is passed over; empty only at the end, and of a partition that is none.
        Fewer where their values come to more than about BROWSED_BYTES.
        """
        ...

    async def group(self, name: str, topics: Sequence[str]) -> GroupState:
        """How the group `name` does on `topics`; one that never committed has all of them before it."""
        ...
