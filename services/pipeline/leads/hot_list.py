"""The hot list: leads by what their score is worth now, exactly, without an index on anything that changes.

Candidates come in the order of a bound that no later value exceeds; each one's value is computed from its
curve; once the next bound lies below the last value of the page, nobody further can belong on it.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.sealed import leads as sealed_leads
from shared.events.curve import Curve, microseconds, moment, published, scores_at
from shared.events.json import Json

_CURVE: TypeAdapter[Curve] = TypeAdapter(Curve)
# Each chunk is a scan of all leads' narrow rows, which costs as much as to look at thousands of curves.
_SMALLEST_CHUNK = 1_000
_LARGEST_CHUNK = 25_000
_GROWTH = 5
# A bound and a value are sums of the same terms: they may differ by the noise of their last digits.
_NOISE = 1e-9


@dataclass(frozen=True, slots=True)
class HotFilter:
    """Which leads to list; everything given must hold. `attributes` by name, equal in value."""

    stage: str | None = None
    grade: str | None = None
    band: str | None = None
    owner: str | None = None
    source: str | None = None
    email: str | None = None
    attributes: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class After:
    """Where the page before ended: its last value and lead."""

    value: float
    lead_id: str


@dataclass(frozen=True, slots=True, order=True)
class Placed:
    """A lead with its unrounded value now. Ordered by value, then id: a later id stands first among equals."""

    value: float
    lead_id: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    lead_id: str
    ceiling: float
    curve: Curve


async def hottest(
    connection: AsyncConnection,
    workspace: str,
    score: str,
    *,
    at: datetime,
    limit: int,
    conditions: HotFilter,
    after: After | None = None,
) -> list[Placed]:
    """The `limit` leads with the highest `score` at `at`, the highest first, beyond `after`."""
    clauses, values = await _clauses(connection, workspace, conditions)
    page: list[Placed] = []
    beyond = Placed(after.value, after.lead_id) if after else None
    bound: tuple[float, str] | None = None
    chunk = max(_SMALLEST_CHUNK, 2 * limit)
    while True:
        candidates = await _candidates(
            connection, workspace, score, bound=bound, limit=chunk, clauses=clauses, values=values
        )
        for candidate in candidates:
            placed = Placed(_value(candidate.curve, score, at), candidate.lead_id)
            if beyond is None or placed < beyond:
                _keep(page, placed, limit)
        if len(candidates) < chunk or (len(page) == limit and _is_final(page[0], candidates[-1])):
            return sorted(page, reverse=True)
        bound = (candidates[-1].ceiling, candidates[-1].lead_id)
        chunk = min(_GROWTH * chunk, _LARGEST_CHUNK)


async def default_score(connection: AsyncConnection, workspace: str) -> tuple[str, Sequence[str]]:
    """The score that lists are ordered by unless told otherwise, and all that there are."""
    rows = await connection.execute(
        text("SELECT default_score, scores FROM pipeline.scored_model WHERE workspace = :workspace"),
        {"workspace": workspace},
    )
    row = rows.one_or_none()
    return ("total", ()) if row is None else (row.default_score, row.scores)


def values_at(curve: Curve, at: datetime) -> dict[str, float]:
    """Every score, rounded, at `at`, or where the curve begins if that is later: clocks differ a little."""
    begin = max(microseconds(at), curve.from_us)
    return {name: published(value) for name, value in scores_at(curve, moment(begin)).items()}


def _value(curve: Curve, score: str, at: datetime) -> float:
    return scores_at(curve, moment(max(microseconds(at), curve.from_us)))[score]


def _keep(page: list[Placed], placed: Placed, limit: int) -> None:
    if len(page) < limit:
        heapq.heappush(page, placed)
    else:
        heapq.heappushpop(page, placed)


def _is_final(lowest: Placed, last: _Candidate) -> bool:
    """Whether nobody after `last` can displace the lowest of a full page.

    Who comes later has a lower bound, or the same one and an earlier id, which stands behind among equals:
    a thousand leads at the maximum of a score need not all be looked at.
    """
    if last.ceiling < lowest.value - _NOISE:
        return True
    return last.ceiling == lowest.value and last.lead_id <= lowest.lead_id


async def _candidates(
    connection: AsyncConnection,
    workspace: str,
    score: str,
    *,
    bound: tuple[float, str] | None,
    limit: int,
    clauses: Sequence[str],
    values: Mapping[str, object],
) -> list[_Candidate]:
    if bound is not None:
        clauses = [*clauses, f"({_CEILING}, lead_id) < (:bound, CAST(:bound_id AS uuid))"]
        values = {**values, "bound": bound[0], "bound_id": UUID(bound[1])}
    rows = await connection.execute(
        text(f"""
            SELECT CAST(head.lead_id AS text) AS lead_id, head.ceiling, standing.curve
            FROM (
                SELECT workspace, lead_id, {_CEILING} AS ceiling FROM pipeline.hot_row
                WHERE workspace = :workspace AND {_CEILING} IS NOT NULL
                    {"".join(f" AND {clause}" for clause in clauses)}
                ORDER BY ceiling DESC, lead_id DESC LIMIT :limit
            ) AS head
            JOIN pipeline.standing USING (workspace, lead_id)
            ORDER BY head.ceiling DESC, head.lead_id DESC
        """),  # noqa: S608 the clauses are constants of ours
        {"workspace": workspace, "score": score, "limit": limit, **values},
    )
    return [_Candidate(row.lead_id, row.ceiling, _CURVE.validate_json(row.curve)) for row in rows]


_CEILING = "ceilings[array_position(scores, :score)]"
_EQUALITIES = {
    "stage": "stage = :stage",
    "owner": "owner = :owner",
    "source": "source = :source",
    "grade": "grade = :grade",
    "band": "bands[array_position(scores, :score)] = :band",
}
# What hardly ever changes has an index in the wide table, which row security lets only these functions use.
_FINDERS = {
    "email": "SELECT * FROM pipeline.leads_with_email(:email{})",
    "attributes": "SELECT * FROM pipeline.leads_with_attributes(CAST(:attributes{} AS jsonb))",
}


async def _clauses(
    connection: AsyncConnection, workspace: str, conditions: HotFilter
) -> tuple[list[str], dict[str, object]]:
    values: dict[str, object] = {
        name: getattr(conditions, name) for name in _EQUALITIES if getattr(conditions, name) is not None
    }
    clauses = [_EQUALITIES[name] for name in values]
    forms = {}
    if conditions.email is not None:
        forms["email"] = await sealed_leads.addresses(connection, workspace, conditions.email)
    if conditions.attributes:
        forms["attributes"] = await sealed_leads.attributes(connection, workspace, conditions.attributes)
    for name, found in forms.items():
        clauses.append(f"lead_id IN ({' UNION ALL '.join(_FINDERS[name].format(n) for n in range(len(found)))})")
        values |= {f"{name}{number}": form for number, form in enumerate(found)}
    return clauses, values
