"""Which leads a report counts, and what it groups them by."""

from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from shared.errors import InvalidInput

Basis = Literal["seen", "entered"]
Cohort = Literal["week", "month"]

DIMENSIONS: Final = (
    "source",
    "medium",
    "campaign",
    "last_source",
    "last_medium",
    "last_campaign",
    "owner",
    "stage",
    "model",
    "currency",
)
OTHERS: Final = "(others)"
"""The group of all groups beyond the largest fifty."""

MOST_GROUPS: Final = 50
_ATTRIBUTES: Final = "attributes."
_LONGEST: Final = 128


@dataclass(frozen=True, slots=True)
class Dimension:
    """What to group by: a column of the report's row, or an attribute or a field of the deal by its name."""

    column: str | None = None
    attribute: str | None = None

    @property
    def name(self) -> str:
        """As callers write it."""
        return self.column or f"{_ATTRIBUTES}{self.attribute}"


@dataclass(frozen=True, slots=True)
class Selection:
    """Leads of a workspace, of the days from `since` up to and without `until`.

    The day is that of the first event heard of (`seen`) or of the entry into the pipeline (`entered`), in UTC.
    """

    workspace: str
    since: date | None = None
    until: date | None = None
    basis: Basis = "seen"
    by: Dimension | None = None


def dimension_of(text: str | None) -> Dimension | None:
    """`source`, `owner` ... or `attributes.product`. Raises InvalidInput for anything else."""
    if text is None:
        return None
    if text in DIMENSIONS:
        return Dimension(column=text)
    name = text.removeprefix(_ATTRIBUTES)
    if name == text or not 0 < len(name) <= _LONGEST:
        raise InvalidInput(f"must be {', '.join(DIMENSIONS)} or attributes.NAME", field="by")
    return Dimension(attribute=name)
