"""Simulations over stored histories: which two models, over how many weeks, and the work shared by processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from services.scorer.domain.events.event import as_event
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.what_if.simulation import (
    Counts,
    Question,
    Simulation,
    common_score,
    compare,
    simulation,
    weeks_back,
)
from services.scorer.leads import history
from services.scorer.leads.history import LeadHistory, Tuning
from services.scorer.models import versions
from services.scorer.models.versions import ModelBook
from shared.db.engine import Database
from shared.errors import InvalidInput
from shared.events.curve import EPOCH
from shared.events.json import Json

DEFAULT_WEEKS: Final = 12
MOST_WEEKS: Final = 156
DEFAULT_LISTED: Final = 1_000
DEFAULT_MOVERS: Final = 20


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two models: a document, and its version if it is a published one."""

    document: Json
    version: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A simulation to be done, as of `at` or else of when it is done.

    `score` None is the one that matters most; see Question for the rest.
    """

    before: Side
    after: Side
    at: datetime | None = None
    score: str | None = None
    weeks: int = DEFAULT_WEEKS
    listed: int = DEFAULT_LISTED
    movers: int = DEFAULT_MOVERS


@dataclass(frozen=True, slots=True)
class ModelName:
    """What a model is called."""

    name: str
    version: Annotated[int | None, Field(description="null: not published.")]


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulation that was done, and of which models."""

    before: ModelName
    after: ModelName
    result: Simulation


async def published_side(database: Database, workspace: str, version: int | None) -> Side:
    """A published version; None: the active one. Raises InvalidInput (`not_found`, `no_active_model`)."""
    if version is None:
        async with database.transaction(workspace) as connection:
            version = (await ModelBook().active(connection, [workspace]))[workspace].version
        if not version:
            raise InvalidInput(
                f"no model counts in {workspace}: there is nothing to compare with", code="no_active_model"
            )
    published = await versions.published(database, workspace, version)
    return Side(published.document, published.version)


def checked(wanted: Wanted) -> Wanted:
    """`wanted`, which can be done. Raises InvalidDocument, and InvalidInput for a score that is not in both, or a
    moment before 1970.
    """
    if wanted.at is not None and wanted.at < EPOCH:
        raise InvalidInput("at: must not be before 1970", field="at")
    common_score(parse_model(wanted.before.document), parse_model(wanted.after.document), wanted.score)
    return wanted


async def simulate(database: Database, workspace: str, wanted: Wanted, *, now: datetime, tuning: Tuning) -> Simulated:
    """What the model after would change, over all leads of the workspace.

    Raises InvalidDocument, InvalidInput, and what `history.map_leads` raises.
    """
    argument = _Argument(wanted, wanted.at or now)
    question = _question(argument)
    async with history.snapshot(database, workspace) as taken:
        task = history.Task(history.histories_of, prepare, argument)
        parts = await history.map_leads(taken, workspace, task, tuning)
    counts = Counts()
    for part in parts:
        counts.add(question, part)
    return Simulated(
        before=ModelName(question.before.name, wanted.before.version),
        after=ModelName(question.after.name, wanted.after.version),
        result=simulation(question, counts),
    )


@dataclass(frozen=True, slots=True)
class _Argument:
    wanted: Wanted
    at: datetime


def prepare(argument: _Argument) -> Callable[[Sequence[LeadHistory]], Counts]:
    """What compares a chunk of leads; both models are compiled once per process."""
    question = _question(argument)

    def compared(leads: Sequence[LeadHistory]) -> Counts:
        return compare(question, ((lead.lead_id, [as_event(event) for event in lead.events]) for lead in leads))

    return compared


def _question(argument: _Argument) -> Question:
    wanted = argument.wanted
    before, after = parse_model(wanted.before.document), parse_model(wanted.after.document)
    return Question(
        before=before,
        after=after,
        at=argument.at,
        since_us=weeks_back(argument.at, wanted.weeks),
        score=common_score(before, after, wanted.score),
        listed=wanted.listed,
        movers=wanted.movers,
    )
