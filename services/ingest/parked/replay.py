"""Trying again what became no event, after somebody mended what kept it from being one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.ingest.domain.outcome import Outcome, Reason
from services.ingest.domain.parking import storable
from services.ingest.kinds.kind import Source
from services.ingest.metrics import REPLAYS, ReplayFate
from services.ingest.parked.repository import Attempt, ParkedElement, ParkedFilter, ParkedRepository, Place
from services.ingest.service import ElementsOf, Ingest, Kept
from services.ingest.sources.repository import SourceRepository
from shared.clock import Clock
from shared.errors import InvalidInput

MOST_AT_ONCE = 200
_FOUND_A_PLACE = frozenset({"replayed", "resolved"})


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was tried, by what came of it, and where to go on; None: that was all."""

    attempts: Sequence[Attempt]
    next_place: Place | None = None


class Replay:
    """Runs elements through their sources as those are configured now.

    An element that becomes an event keeps the id and the time of receipt it would have had, so that trying
    twice, or at two places at once, counts once. The events are durable before the element is marked.
    """

    def __init__(
        self,
        ingest: Ingest,
        parked: ParkedRepository,
        sources: SourceRepository,
        *,
        clock: Clock,
        elements_of: ElementsOf,
    ) -> None:
        self._ingest = ingest
        self._parked = parked
        self._sources = sources
        self._clock = clock
        self._elements_of = elements_of

    async def by_ids(self, workspace: str, ids: Sequence[str]) -> Replayed:
        """Try those of `ids` that still wait; one that became an event before is told as it is.

        Raises InvalidInput(not_found) when the workspace lacks one of them; TransientError.
        """
        found = await self._parked.by_ids(workspace, ids)
        if missing := set(ids) - {one.id for one in found}:
            raise InvalidInput(f"no element {min(missing)[:64]} here", code="not_found", field="ids")
        settled = [
            Attempt(one.id, one.event_ids, None if one.state in _FOUND_A_PLACE else one.reason)
            for one in found
            if one.state != "parked"
        ]
        tried = await self._try(workspace, [one for one in found if one.state == "parked"])
        return Replayed([*tried, *settled])

    async def by_filter(
        self, workspace: str, which: ParkedFilter, *, before: Place | None = None, limit: int = MOST_AT_ONCE
    ) -> Replayed:
        """Try the next of those that wait and match, the newest first. Raises TransientError."""
        waiting = replace(which, state="parked")
        found = await self._parked.page(workspace, waiting, before=before, limit=limit)
        attempts = await self._try(workspace, found)
        last = found[-1] if len(found) == limit else None
        return Replayed(attempts, Place(last.origin.received_at, last.id) if last else None)

    async def _try(self, workspace: str, found: Sequence[ParkedElement]) -> list[Attempt]:
        sources = {source.id: source for source in await self._sources.of_workspace(workspace)}
        names_of = {source.id: source.event_names for source in sources.values()}
        whole = [one for one in found if one.is_whole]
        outcomes = await self._ingest.accept_again(
            [_kept(one, sources.get(one.origin.source)) for one in whole], names_of, self._elements_of
        )
        attempts = [_attempt(one, several) for one, several in zip(whole, outcomes, strict=True)]
        cut = Reason("not_kept_in_full", "it was too large to be kept: have it sent again")
        attempts += [Attempt(one.id, reason=cut) for one in found if not one.is_whole]
        await self._parked.note(workspace, attempts, now=self._clock.now())
        for attempt in attempts:
            REPLAYS.labels(ReplayFate.STILL_PARKED if attempt.reason else ReplayFate.REPLAYED).inc()
        return attempts


def _kept(one: ParkedElement, source: Source | None) -> Kept:
    return Kept(one.body, one.origin, source, one.trace)


def _attempt(one: ParkedElement, outcomes: Sequence[Outcome]) -> Attempt:
    """Done when everything that the element says found its place."""
    event_ids = tuple(outcome.event.id for outcome in outcomes if outcome.event is not None)
    reasons = [outcome.reason for outcome in outcomes if outcome.reason is not None]
    if not reasons:
        return Attempt(one.id, event_ids)
    reason = reasons[0]
    field = None if reason.field is None else storable(reason.field[:512])
    return Attempt(one.id, event_ids, Reason(reason.code, storable(reason.message[:512]), field))
