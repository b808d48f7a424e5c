"""An import: rows become items, items become durable events in large batches, and each batch moves the position."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final

from pydantic_core import to_json

from services.ingest.domain.outcome import Reason, Status
from services.ingest.importing.files import FileRow, ImportFile, opened
from services.ingest.importing.mapping import ImportMapping
from services.ingest.importing.position import Position, PositionFile
from services.ingest.importing.refusals import Refusals, refusals
from services.ingest.importing.translation import Item, items_of
from services.ingest.importing.values import cell_of
from services.ingest.metrics import API
from services.ingest.service import Ingest
from shared.clock import Clock
from shared.documents.conditions import MISSING
from shared.errors import InvalidInput, TransientError
from shared.events.json import Json
from shared.retry import RetryPolicy

_BATCH_EVENTS: Final = 2_000
_BATCH_CHARACTERS: Final = 4 * 1024 * 1024
# About 40 MB.
_REMEMBERED_IDS: Final = 200_000
_ATTEMPTS: Final = 8
_PATIENCE: Final = RetryPolicy(first_seconds=0.5, longest_seconds=15.0, jitter=0.0)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is: bytes of the file read, and what became of its rows."""

    read_bytes: int
    size_bytes: int
    position: Position


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Importer:
    """Imports files into the log that `ingest` publishes to."""

    ingest: Ingest
    clock: Clock
    batch_events: int = _BATCH_EVENTS
    remembered_ids: int = _REMEMBERED_IDS
    patience: RetryPolicy = _PATIENCE

    async def run(
        self,
        path: Path,
        mapping: ImportMapping,
        *,
        positions: PositionFile,
        refused_path: Path,
        on_progress: OnProgress = lambda _progress: None,
    ) -> Position:
        """Import the file, going on where its position stands; returns what became of all its rows.

        Ended before that, it may be run again. Raises InvalidInput when the file cannot be read on, after what came
        before is durable; TransientError when the log stays away.
        """
        start = positions.load() or Position()
        with (
            opened(path, mapping) as file,
            refusals(refused_path, of=path, keep_bytes=start.refused_bytes) as refused,
        ):
            run = _Run(
                importer=self,
                file=file,
                mapping=mapping,
                positions=positions,
                refused=refused,
                position=start,
                on_progress=on_progress,
                seen=_Seen(self.remembered_ids),
                unmet=dict.fromkeys(column for _, column in mapping.columns),
            )
            position = await run.to_the_end()
        positions.forget()
        return position


@dataclass(slots=True)
class _Batch:
    """Rows in hand, and the items among what they stand for."""

    rows: int = 0
    characters: int = 0
    repeated: int = 0
    without_event: int = 0
    items: list[tuple[FileRow, str | None, Json | InvalidInput]] = field(default_factory=list)


@dataclass(slots=True)
class _Run:
    """One way through one file."""

    importer: Importer
    file: ImportFile
    mapping: ImportMapping
    positions: PositionFile
    refused: Refusals
    position: Position
    on_progress: OnProgress
    seen: "_Seen"
    unmet: dict[str, None]

    async def to_the_end(self) -> Position:
        rows = self.file.rows()
        await self._pass_over(rows)
        batch, fault = _Batch(), None
        while fault is None:
            try:
                row = next(rows, None)
            except InvalidInput as error:
                fault = error
                continue
            if row is None:
                break
            self._take(batch, row)
            if len(batch.items) >= self.importer.batch_events or batch.characters >= _BATCH_CHARACTERS:
                await self._finish(batch)
                batch = _Batch()
        await self._finish(batch)
        if fault is not None:
            raise fault
        return self.position

    async def _pass_over(self, rows: Iterator[FileRow]) -> None:
        """Go through what is done already, because repetitions of it may follow."""
        for passed in range(self.position.rows):
            row = next(rows, None)
            if row is None:
                return
            self._take(_Batch(), row)
            if passed % self.importer.batch_events == 0:
                self._tell()
                await asyncio.sleep(0)

    def _take(self, batch: _Batch, row: FileRow) -> None:
        batch.rows += 1
        batch.characters += row.size
        if row.fields is None:
            batch.items.append((row, None, row.error or InvalidInput("the row cannot be read")))
            return
        self.unmet = {column: None for column in self.unmet if cell_of(row.fields, column) is MISSING}
        items = list(items_of(row.fields, self.mapping, self.importer.clock.now()))
        batch.without_event += not items
        for item in items:
            self._take_item(batch, row, item)

    def _take_item(self, batch: _Batch, row: FileRow, item: Item) -> None:
        known = self.seen.meet(item.element) if isinstance(item.element, dict) else None
        if known == _REPEATED:
            batch.repeated += 1
        elif known == _CONTRADICTED:
            error = InvalidInput("another row with the same id says something else", code="id_reused", field="id")
            batch.items.append((row, item.event, error))
        else:
            batch.items.append((row, item.event, item.element))

    async def _finish(self, batch: _Batch) -> None:
        """Let the batch be durable, and only then the position be after it."""
        if not batch.rows:
            return
        reasons = await self._accepted(batch, self.importer.clock.now())
        for (row, event, _), reason in zip(batch.items, reasons, strict=True):
            if reason is not None:
                self.refused.add(row, event, reason)
        self.refused.flush()
        self.position = self._after(batch, Counter(reason.code for reason in reasons if reason is not None))
        self.positions.save(self.position)
        self._tell()

    async def _accepted(self, batch: _Batch, now: datetime) -> list[Reason | None]:
        """For each item the reason why it was refused, None for one that is durable now."""
        failures = 0
        while True:
            try:
                outcomes = await self.importer.ingest.accept_items(
                    [element for _, _, element in batch.items],
                    workspace=self.mapping.workspace,
                    received_at=now,
                    source_label=API,
                )
            except TransientError:
                failures += 1
                if failures == _ATTEMPTS:
                    raise
                await asyncio.sleep(self.importer.patience.delay_seconds(failures, random=0.0))
            else:
                return [None if outcome.status is Status.ACCEPTED else outcome.reason for outcome in outcomes]

    def _after(self, batch: _Batch, refused: Counter[str]) -> Position:
        before = self.position
        return Position(
            rows=before.rows + batch.rows,
            accepted=before.accepted + len(batch.items) - refused.total(),
            repeated=before.repeated + batch.repeated,
            without_event=before.without_event + batch.without_event,
            refused=Counter(before.refused) + refused,
            refused_bytes=self.refused.written_bytes,
            never_found=tuple(self.unmet),
        )

    def _tell(self) -> None:
        self.on_progress(Progress(self.file.read_bytes, self.file.size_bytes, self.position))


_NEW: Final = "new"
_REPEATED: Final = "repeated"
_CONTRADICTED: Final = "contradicted"


class _Seen:
    """The newest ids of this file and a digest of what they said; the scorer knows all the older ones."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._said: OrderedDict[bytes, bytes] = OrderedDict()

    def meet(self, item: dict[str, Json]) -> str:
        """Whether the item is new, said before, or at odds with what its id said before."""
        identifier = bytes.fromhex(str(item["id"]))
        said = blake2b(to_json(item), digest_size=8).digest()
        known = self._said.setdefault(identifier, said)
        if len(self._said) > self._most:
            self._said.popitem(last=False)
        if known is said:
            return _NEW
        return _REPEATED if known == said else _CONTRADICTED
