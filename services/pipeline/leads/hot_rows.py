"""The narrow rows that the hot list scans: a bound for every score of a lead, and what lists are filtered by."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.domain.lead import Lead
from services.pipeline.leads.repository import owner_of
from shared.db import routine
from shared.events.curve import ceiling
from shared.events.scores import ScoreChange

_WRITE = """
    INSERT INTO pipeline.hot_row AS known
        (workspace, lead_id, stage, owner, source, grade, scores, ceilings, bands)
    SELECT workspace, lead_id, stage, owner, source, grade,
           CAST(scores AS text[]), CAST(ceilings AS double precision[]), CAST(bands AS text[])
    FROM unnest(CAST(:workspaces AS text[]), CAST(:ids AS uuid[]), CAST(:stages AS text[]),
                CAST(:owners AS text[]), CAST(:sources AS text[]), CAST(:grades AS text[]),
                CAST(:scores AS text[]), CAST(:ceilings AS text[]), CAST(:bands AS text[]))
         AS item (workspace, lead_id, stage, owner, source, grade, scores, ceilings, bands)
    ON CONFLICT (workspace, lead_id) DO UPDATE SET
        stage = excluded.stage, owner = excluded.owner, source = excluded.source,
        grade = CASE WHEN excluded.scores IS NULL THEN known.grade ELSE excluded.grade END,
        bands = CASE WHEN excluded.scores IS NULL THEN known.bands ELSE excluded.bands END,
        ceilings = coalesce(excluded.ceilings, known.ceilings),
        scores = coalesce(excluded.scores, known.scores)
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a lead stands, apart from its scores."""

    stage: str | None
    owner: str | None
    source: str | None


def place_of(lead: Lead) -> Place:
    """Where `lead` stands now."""
    return Place(
        stage=lead.stay.stage if lead.stay else None,
        owner=owner_of(lead),
        source=lead.first_touch.source if lead.first_touch else None,
    )


async def write(connection: AsyncConnection, leads: Sequence[tuple[Lead, ScoreChange | None]]) -> None:
    """Write leads as they stand, with their newest scores; without such, those of before remain.

    The caller holds their locks.
    """
    places = [place_of(lead) for lead, _ in leads]
    await routine.rows(
        connection,
        _WRITE,
        workspaces=[lead.workspace for lead, _ in leads],
        ids=[lead.id for lead, _ in leads],
        stages=[place.stage for place in places],
        owners=[place.owner for place in places],
        sources=[place.source for place in places],
        grades=[change.current.grade if change else None for _, change in leads],
        # An array of arrays must be rectangular, so each travels as the text PostgreSQL reads it from.
        scores=[_array(_scores(change)) if change else None for _, change in leads],
        ceilings=[_array(_ceilings(change)) if change else None for _, change in leads],
        bands=[_array(_bands(change)) if change else None for _, change in leads],
    )


def _scores(change: ScoreChange) -> list[str]:
    return list(change.forecast.curve.scores)


def _ceilings(change: ScoreChange) -> list[str]:
    return [repr(ceiling(change.forecast.curve, score)) for score in _scores(change)]


def _bands(change: ScoreChange) -> list[str | None]:
    return [change.current.bands.get(score) for score in _scores(change)]


def _array(values: Sequence[str | None]) -> str:
    return "{" + ",".join("NULL" if value is None else _quoted(value) for value in values) + "}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
