"""How far the version in the shadow is from the active one: counted over all leads compared, and shown on some."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.domain.lead import Lead
from services.scorer.domain.scores.standing import standing_of
from services.scorer.domain.states.state import LeadState
from services.scorer.domain.what_if.shadow import Reason, Seen, moment_of, reasons
from services.scorer.leads import history, stored_leads
from services.scorer.models import shadow_runs
from services.scorer.models.shadow_runs import ShadowRun
from services.scorer.models.versions import Chosen, ModelBook
from services.scorer.shadows import repository
from services.scorer.shadows.following import readable
from services.scorer.shadows.repository import Spread, Tallied
from shared.clock import Clock
from shared.db.engine import Database
from shared.errors import InvalidInput
from shared.events.envelope import LeadReference
from shared.events.scores import Standing

# Different pairs of bands, grades or positions that a report tells apart; the rarest beyond that are left out.
_MOST_PAIRS = 100


@dataclass(frozen=True, slots=True)
class Mover:
    """A lead that the two versions see far apart, as both see it at `at`, and what makes the difference."""

    lead: LeadReference
    at: datetime
    active: Standing
    shadow: Standing
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A shadow against the active version.

    Of `leads`, `compared` are compared with what is active now; the others are yet to be reached. `alike` are those
    of them that both see in the same bands, grade and threshold positions.
    """

    run: ShadowRun
    active_version: int
    leads: int
    compared: int
    alike: int
    scores: Sequence[Spread]
    bands: Sequence[Tallied]
    grades: Sequence[Tallied]
    thresholds: Sequence[Tallied]
    movers: Sequence[Mover]


async def report(
    database: Database, clock: Clock, models: ModelBook, workspace: str, version: int | None, *, movers: int
) -> Report:
    """The report on `version`, or on whichever is in the shadow, as of one moment, with up to `movers` leads.

    Raises InvalidInput (`not_found`) when it is not in the shadow.
    """
    async with database.reading(workspace) as connection:
        run = await shadow_runs.running(connection, workspace)
        if run is None or version not in (None, run.version):
            what = "no version is" if version is None else f"version {version} is not"
            raise InvalidInput(f"{what} in the shadow", code="not_found", field="version")
        chosen = (await models.chosen(connection, [workspace]))[workspace]
        active = chosen.active.version
        compared, alike = await repository.compared(connection, run.id, active)
        ids = await repository.movers(connection, run.id, active, movers)
        return Report(
            run=run,
            active_version=active,
            leads=await history.count_leads(connection, workspace),
            compared=compared,
            alike=alike,
            scores=await repository.spreads(connection, run.id, active),
            bands=await repository.changed_bands(connection, run.id, active, _MOST_PAIRS),
            grades=await repository.changed_grades(connection, run.id, active, _MOST_PAIRS),
            thresholds=await repository.changed_positions(connection, run.id, active, _MOST_PAIRS),
            movers=await _movers(connection, chosen, ids, clock.now()),
        )


async def _movers(connection: AsyncConnection, chosen: Chosen, ids: Sequence[UUID], now: datetime) -> list[Mover]:
    assert chosen.shadow is not None
    leads = await stored_leads.read(connection, ids)
    states = await repository.states(connection, [chosen.shadow.id], ids)
    known = {id_: readable(state) for id_, state in states.items()}
    found = [
        _mover(chosen, leads[id_], state, now) for id_, state in known.items() if state is not None and id_ in leads
    ]
    return sorted(found, key=_width, reverse=True)


def _mover(chosen: Chosen, lead: Lead, state: LeadState, now: datetime) -> Mover:
    assert chosen.shadow is not None
    active, shadow = Seen(chosen.active.model, lead.state), Seen(chosen.shadow.model.model, state)
    at = moment_of(active, shadow, now)
    return Mover(
        lead=lead.reference,
        at=at,
        active=standing_of(active.model, active.state, at),
        shadow=standing_of(shadow.model, shadow.state, at),
        reasons=reasons(active, shadow, at),
    )


def _width(mover: Mover) -> float:
    ours, theirs = mover.active.scores, mover.shadow.scores
    return max((abs(ours[name] - theirs[name]) for name in ours.keys() & theirs.keys()), default=0.0)
