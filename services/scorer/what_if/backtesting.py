"""Backtests over stored histories: what models would have said of leads, against what came of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from services.scorer.domain.events.event import as_event
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.models.model import Model, ScoreThreshold
from services.scorer.domain.what_if.backtest.observing import Observed, Question, Scorer, default_score, observe
from services.scorer.domain.what_if.backtest.report import Contender, Report, Wish, report_of
from services.scorer.leads import history
from services.scorer.leads.history import LeadHistory, Tuning
from shared.db.engine import Database
from shared.errors import InvalidInput
from shared.events.curve import microseconds
from shared.events.json import Json


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that takes part: its name in the report, its document, and which of its scores; None: see `scorer`."""

    label: str
    document: Json
    score: str | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    question: Question
    entries: tuple[Entry, ...]


async def backtest(
    database: Database,
    workspace: str,
    entries: Sequence[Entry],
    question: Question,
    *,
    wish: Wish,
    tuning: Tuning,
) -> Report:
    """The report on all leads of the workspace. An end of the period after the last event is taken as that.

    Raises InvalidInput for a document that is no model, a score that it has not, or too few leads to say anything.
    """
    scorers = [scorer(entry) for entry in entries]
    async with history.snapshot(database, workspace) as taken:
        last_at = await history.last_event_at(taken.connection, workspace)
        if last_at is None:
            raise InvalidInput(f"{workspace} has no events")
        asked = replace(question, until_us=min(question.until_us, microseconds(last_at) + 1))
        task = history.Task(history.histories_of, prepare, _Work(asked, tuple(entries)))
        parts = await history.map_leads(taken, workspace, task, tuning)
    observed = Observed(len(scorers))
    for part in parts:
        observed.extend(part)
    contenders = [_contender(entry, scored) for entry, scored in zip(entries, scorers, strict=True)]
    return report_of(observed, contenders, asked, wish=wish)


def prepare(work: _Work) -> Callable[[Sequence[LeadHistory]], Observed]:
    """What observes a chunk of leads; models are compiled once per process."""
    scorers = [scorer(entry) for entry in work.entries]

    def observed(leads: Sequence[LeadHistory]) -> Observed:
        return observe(work.question, scorers, ([as_event(event) for event in lead.events] for lead in leads))

    return observed


def scorer(entry: Entry) -> Scorer:
    """The score that takes part. Without a name it is the only one, or the only combined one. Raises InvalidInput."""
    model = parse_model(entry.document)
    name = entry.score or default_score(model)
    if name not in model.scores:
        raise InvalidInput(f"{entry.label} has no score {name}, but {', '.join(model.scores)}")
    return Scorer(model, name)


def _contender(entry: Entry, scored: Scorer) -> Contender:
    return Contender(entry.label, scored.score, tuple(_levels(scored.model, scored.score)))


def _levels(model: Model, score: str) -> list[tuple[str, float]]:
    """Levels of the score that the document names: thresholds, then bands."""
    thresholds = [
        (threshold.name, threshold.enter)
        for threshold in model.thresholds.values()
        if isinstance(threshold, ScoreThreshold) and threshold.score == score
    ]
    bands = [(f"band {band.name}", band.at_least) for band in model.bands.get(score, ())]
    return [*thresholds, *bands]
