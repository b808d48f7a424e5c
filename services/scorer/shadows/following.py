"""A version in the shadow, kept up to date: with each change of a lead, in the same transaction, and behind it.

A lead's row is exact as of every committed event of the lead: whoever changes a lead's history has locked the lead
and asks only then which shadow runs. Leads that no shadow has reached are computed from their stored events.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer import metrics
from services.scorer.domain.codec import decode_state, encode_state
from services.scorer.domain.counting.folding import compact
from services.scorer.domain.counting.tally import HistoryNeeded
from services.scorer.domain.lead import Happening, Lead, added_by, rebuilt
from services.scorer.domain.states.state import EMPTY, LeadState, combine_all
from services.scorer.domain.what_if.shadow import Comparison, Seen, compare
from services.scorer.leads import stored_leads
from services.scorer.models.versions import Chosen, ModelBook, Shadow
from services.scorer.shadows import repository
from services.scorer.shadows.repository import ShadowRow
from shared.clock import Clock
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Changed:
    """A lead after something happened to it, scored by the active version; `is_new`: before that there was none."""

    lead: Lead
    happening: Happening
    is_new: bool


# States by lead; None for one that cannot be read any more.
States = Mapping[UUID, LeadState | None]


class Shadows:
    """Keeps the states of versions in the shadow. All raise TransientError as the scorer does."""

    def __init__(self, database: Database, clock: Clock, models: ModelBook) -> None:
        self._database = database
        self._clock = clock
        self._models = models

    async def follow(
        self, connection: AsyncConnection, chosen: Mapping[str, Chosen], changed: Mapping[UUID, Changed]
    ) -> None:
        """Let what happened to leads, which are locked, happen in the shadow too; without one it costs nothing."""
        leads = {id_: each for id_, each in changed.items() if chosen[each.lead.workspace].shadow is not None}
        if not leads:
            return
        absorbed = {id_: _absorbed(each.happening) for id_, each in leads.items()}
        merged = [one for ones in absorbed.values() for one in ones]
        stored = await self._states(connection, _shadows(chosen), [*leads, *merged])
        stored |= {id_: EMPTY for id_, each in leads.items() if each.is_new}
        reached = {id_: each for id_, each in leads.items() if not stored.keys().isdisjoint({id_, *absorbed[id_]})}
        states = {
            id_: _after(
                _shadow(chosen, each.lead), each.happening, [stored.get(one) for one in (id_, *absorbed[id_])]
            )
            for id_, each in reached.items()
        }
        await self._save(connection, chosen, {id_: each.lead for id_, each in reached.items()}, states)
        await repository.forget(connection, merged)

    async def catch_up(self, limit: int) -> int:
        """Compute up to `limit` leads that a running shadow has yet to reach; returns how many."""
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            behind = await repository.leads_behind(connection, limit)
            return await self._look_again(connection, behind, {})

    async def compare_due(self, limit: int) -> int:
        """Compare up to `limit` leads again whose standing has changed by itself; returns how many."""
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            due = await repository.leads_due(connection, self._clock.now(), limit)
            return await self._look_again(connection, due, None)

    async def clear(self, limit: int) -> int:
        """Forget up to `limit` leads of shadows that are over; returns how many."""
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            over = await repository.ended(connection)
            return 0 if over is None else await repository.clear(connection, over, limit)

    async def work(self, limit: int) -> int:
        """Everything that is done behind the events, up to `limit` leads of each kind; returns how many."""
        return await self.catch_up(limit) + await self.compare_due(limit) + await self.clear(limit)

    async def inherited(
        self, connection: AsyncConnection, chosen: Mapping[str, Chosen], leads: Iterable[Lead]
    ) -> dict[UUID, LeadState]:
        """The states under the active version of leads that are still of another one, where a shadow left them."""
        behind = [UUID(lead.reference.id) for lead in leads if _may_inherit(chosen[lead.workspace], lead)]
        if not behind:
            return {}
        ids = [each.inherited for each in chosen.values() if each.inherited is not None]
        found = await self._states(connection, ids, behind)
        return {id_: state for id_, state in found.items() if state is not None}

    async def _look_again(self, connection: AsyncConnection, ids: Sequence[UUID], states: States | None) -> int:
        if not ids:
            return 0
        leads = await stored_leads.lock(connection, ids)
        chosen = await self._models.chosen(connection, (lead.workspace for lead in leads.values()))
        current = {id_: lead for id_, lead in leads.items() if _is_comparable(chosen[lead.workspace], lead)}
        known = await self._states(connection, _shadows(chosen), current) if states is None else states
        await self._save(connection, chosen, current, {id_: known.get(id_) for id_ in current})
        return len(current)

    async def _states(
        self, connection: AsyncConnection, shadow_ids: Sequence[int], leads: Iterable[UUID]
    ) -> dict[UUID, LeadState | None]:
        found = await repository.states(connection, shadow_ids, leads)
        return {id_: readable(state) for id_, state in found.items()}

    async def _save(
        self, connection: AsyncConnection, chosen: Mapping[str, Chosen], leads: Mapping[UUID, Lead], states: States
    ) -> None:
        """Compare each lead and store it; what its state cannot answer is computed from stored events."""
        rows: dict[UUID, ShadowRow] = {}
        for id_, lead in leads.items():
            state = states[id_]
            try:
                if state is not None:
                    rows[id_] = self._row(id_, chosen[lead.workspace], lead, state)
            except HistoryNeeded:
                continue
        unanswered = [id_ for id_ in leads if id_ not in rows]
        metrics.RECOMPUTES.labels("shadow").inc(len(unanswered))
        for id_, history in (await stored_leads.histories(connection, unanswered)).items():
            lead = leads[id_]
            state = rebuilt(_shadow(chosen, lead).model, lead, history).state
            rows[id_] = self._row(id_, chosen[lead.workspace], lead, state)
        await repository.save(connection, [row for _, row in sorted(rows.items())])

    def _row(self, id_: UUID, chosen: Chosen, lead: Lead, state: LeadState) -> ShadowRow:
        assert chosen.shadow is not None
        model = chosen.shadow.model.model
        comparison = compare(
            Seen(chosen.active.model, lead.state), Seen(model, state), self._clock.now(), due_at=lead.due_at
        )
        _observe(comparison)
        return ShadowRow(
            lead_id=id_,
            workspace=lead.workspace,
            shadow_id=chosen.shadow.id,
            state=encode_state(compact(model, state)),
            active_version=chosen.active.version,
            compared_at=comparison.at,
            due_at=comparison.changes_at,
            scores={name: list(pair) for name, pair in comparison.scores.items()},
            bands={name: list(pair) for name, pair in comparison.bands.items()},
            grades=tuple(grade or "" for grade in comparison.grades or ()),
            thresholds={name: list(pair) for name, pair in comparison.thresholds.items()},
            widest=comparison.widest,
        )


def _after(shadow: Shadow, happening: Happening, parts: Sequence[LeadState | None]) -> LeadState | None:
    """The state once `happening` is added to its parts; None where one is missing, and only history can tell."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return combine_all([*known, added_by(shadow.model.model, happening)])


def _absorbed(happening: Happening) -> list[UUID]:
    return [UUID(lead.reference.id) for lead in happening.absorbed]


def _shadow(chosen: Mapping[str, Chosen], lead: Lead) -> Shadow:
    shadow = chosen[lead.workspace].shadow
    assert shadow is not None
    return shadow


def _shadows(chosen: Mapping[str, Chosen]) -> list[int]:
    return [each.shadow.id for each in chosen.values() if each.shadow is not None]


def _is_comparable(chosen: Chosen, lead: Lead) -> bool:
    return chosen.shadow is not None and lead.version == chosen.active.version


def _may_inherit(chosen: Chosen, lead: Lead) -> bool:
    return chosen.inherited is not None and lead.version is not None and lead.version != chosen.active.version


def readable(state: str | bytes) -> LeadState | None:
    """A stored state; None for one in the form of an earlier release."""
    try:
        return decode_state(state)
    except InvalidInput:
        return None


def _observe(comparison: Comparison) -> None:
    metrics.SHADOW_DIFFERENCE.observe(comparison.widest)
    for kind, differs in (
        ("band", comparison.bands),
        ("grade", comparison.grades),
        ("threshold", comparison.thresholds),
    ):
        if differs:
            metrics.SHADOW_DIFFERENCES.labels(kind).inc()
