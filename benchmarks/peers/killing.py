"""An engine killed half-way and started again: what it has lost, what it has doubled, and how long it took.

Records come at an even pace for as long as most engines need to commit once or twice, then a burst of them, in the
midst of which the engine gets its kill -9. What is left of the records waits for it when it is started again, by the
same command, with the same group and the same state directory. Nobody has replicas, or help.

Everybody's session timeout is six seconds here: a group waits that long for the member that is dead, and the
defaults, of up to 45 s, would only make everybody wait alike.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.peers import answers, environment
from benchmarks.peers.arena import Arena, unread
from benchmarks.peers.contestants import Class, Contestant, kill
from benchmarks.peers.data import Mix
from benchmarks.peers.draining import Failed, handled
from benchmarks.peers.judging import Harm, harm, lost_and_doubled
from benchmarks.peers.runs import UNKNOWN, Held, Started, Task, holding

_SESSION_SECONDS = 6
_PACED_SECONDS = 12.0
_PACED, _BURST = 0.4, 0.7
_FIRST = 50
# A file is looked for; PostgreSQL is asked.
_LOOK_SECONDS, _LEADFLOW_LOOK_SECONDS = 0.005, 0.05
_SETTINGS = {"LEADFLOW_LOG_SESSION_TIMEOUT_SECONDS": str(_SESSION_SECONDS)}


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What a kill did, and how long it took from the second start until all was done.

    `refused`: why that is not known; `ran`: it was tried.
    """

    contestant: str
    state: Class
    mix: Mix
    promise: str
    harm: Harm | None = None
    kept: bool = False
    seconds: float = 0.0
    refused: str | None = None
    ran: bool = True


async def killed(
    arena: Arena, contestant: Contestant, state: Class, task: Task, *, number: int, limit_seconds: float
) -> Aftermath:
    """One engine, killed once; never raises for what an engine did."""
    promise = contestant.promise(state)
    result = Aftermath(contestant.name, state, task.mix, promise.value)
    try:
        async with holding(arena, contestant, state, task, number=number, limit_seconds=limit_seconds) as held:
            records = held.records()
            sent = await _until_half(held, records)
            await held.feed.publish(records[sent:])
            again = time.monotonic()
            used = await held.end(await _start_again(held))
            did = await _harm(held)
    except UNKNOWN as error:
        return replace(result, refused=str(error), ran=not isinstance(error, environment.Absent))
    seconds = used.began + used.seconds - again
    return replace(result, harm=did, kept=did.keeps(promise), seconds=seconds)


async def _until_half(held: Held, records: Sequence[tuple[bytes, bytes]]) -> int:
    """Start the engine, feed it, kill it; returns how many records there are by then. Raises Failed."""
    progress = held.directory / "progress"
    progress.mkdir()
    more = {"progress": str(progress), "session_seconds": _SESSION_SECONDS, "follow": True}
    started = held.start(events=len(records), more=more, settings=_SETTINGS)
    try:
        async with asyncio.timeout(held.limit_seconds):
            await held.feed.publish(records[:_FIRST])
            await _reached(held, started, progress / "first", 1)
            paced, burst = int(len(records) * _PACED), int(len(records) * _BURST)
            await _feed_evenly(held, records[_FIRST:paced])
            await held.feed.publish(records[paced:burst])
            await _reached(held, started, progress / "half", len(records) // 2)
    except TimeoutError:
        raise Failed(f"was not half-way in {held.limit_seconds:g} s") from None
    finally:
        kill(started.process)
    return burst


async def _feed_evenly(held: Held, records: Sequence[tuple[bytes, bytes]]) -> None:
    began, sent = time.monotonic(), 0
    while sent < len(records):
        await asyncio.sleep(0.05)
        due = int(len(records) * min(1.0, (time.monotonic() - began) / _PACED_SECONDS))
        await held.feed.publish(records[sent:due])
        sent = due


async def _reached(held: Held, started: Started, mark: Path, count: int) -> None:
    """Until the adapter says that it was handed so many, or leadflow has handled them."""
    while not (await handled(held.url) >= count if held.ours else _is_there(mark)):
        if started.process.poll() is not None:
            raise Failed("ended before it was killed")
        await asyncio.sleep(_LEADFLOW_LOOK_SECONDS if held.ours else _LOOK_SECONDS)


def _is_there(mark: Path) -> bool:
    return mark.exists()


async def _start_again(held: Held) -> Started:
    """The second start reads to the end and is done; how far that is, the group's offsets say."""
    first, left = ({}, 0) if held.ours else await unread(held.arena.broker.bootstrap, held.group, held.source)
    more = {"session_seconds": _SESSION_SECONDS, "first": first}
    return held.start(events=left, more=more, settings=_SETTINGS)


async def _harm(held: Held) -> Harm:
    """From the answer; leadflow's has to be the same in PostgreSQL as in its messages, or the worse one counts."""
    did = harm(held.task.expected, await held.found())
    if not held.ours:
        return did
    stored = await answers.stored_by_leadflow(held.url, await held.published(), held.task.numbers)
    right = {lead: outcome.count for lead, outcome in held.task.expected.leads.items()}
    lost, doubled = lost_and_doubled(right, stored)
    return replace(did, lost=max(did.lost, lost), doubled=max(did.doubled, doubled))
