"""What leads are grouped by beyond columns: keyed digests of attributes and fields of deals, and what they are of."""

from base64 import b64encode
from collections.abc import Collection, Mapping
from typing import Final

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.domain.reports.row import Scalar, report_row
from services.pipeline.domain.reports.selection import Selection
from services.pipeline.leads import repository as lead_repository
from shared.sealing.data_keys import mark

# Half of a digest is enough to keep groups apart.
_BYTES: Final = 16


def marks(names_key: bytes, facts: Mapping[str, Scalar]) -> dict[str, str]:
    """The digest of each fact, by its name; values that read the same are the same group."""
    return {name: _mark(names_key, name, value) for name, value in facts.items()}


async def labels(
    connection: AsyncConnection, selection: Selection, groups: Collection[str | None]
) -> dict[str | None, str]:
    """What those of these groups say that are digests, as one of their leads has it."""
    if selection.by is None or selection.by.attribute is None:
        return {}
    attribute = selection.by.attribute
    rows = await connection.execute(
        text("""
            SELECT marks ->> CAST(:attribute AS text) AS mark, CAST(min(CAST(lead_id AS text)) AS text) AS id
            FROM pipeline.lead_report
            WHERE workspace = :workspace AND marks ->> CAST(:attribute AS text) = ANY(CAST(:groups AS text[]))
                AND lead_id NOT IN (SELECT unnest(leads) FROM sealing.erasure WHERE workspace = :workspace)
            GROUP BY 1
        """),
        {"workspace": selection.workspace, "attribute": attribute, "groups": [group for group in groups if group]},
    )
    found = {row.id: row.mark for row in rows}
    leads = await lead_repository.read_leads(connection, selection.workspace, list(found))
    seen = {id_: report_row(row.lead) for id_, row in leads.items()}
    return {found[id_]: _text(row.facts[attribute]) for id_, row in seen.items() if row and attribute in row.facts}


def _mark(names_key: bytes, name: str, value: Scalar) -> str:
    return b64encode(mark(names_key, "fact", name, _text(value))[:_BYTES]).decode()


def _text(value: Scalar) -> str:
    """As PostgreSQL writes a scalar of a jsonb."""
    return value if isinstance(value, str) else to_json(value).decode()
