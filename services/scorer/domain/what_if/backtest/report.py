"""All that a backtest says, of several models on the same leads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.scorer.domain.what_if.backtest.calibration import Bin, bins_of
from services.scorer.domain.what_if.backtest.demand import Advice, Demand
from services.scorer.domain.what_if.backtest.discrimination import Comparison, discrimination_of
from services.scorer.domain.what_if.backtest.intervals import Estimate, Share
from services.scorer.domain.what_if.backtest.lift import Decile, deciles_of
from services.scorer.domain.what_if.backtest.observations import Observations
from services.scorer.domain.what_if.backtest.observing import Observed, Question
from services.scorer.domain.what_if.backtest.thresholds import Selection, levels_of, selections_of
from shared.documents.durations import WEEK_US
from shared.errors import InvalidInput
from shared.events.curve import moment

_FEWEST_LEADS: Final = 2


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants of a threshold, each None if it was not asked for."""

    leads_per_week: float | None = None
    share_of_wins: float | None = None


@dataclass(frozen=True, slots=True)
class Contender:
    """A model as it takes part: by which name, with which score, and the levels that its document names."""

    label: str
    score: str
    levels: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What one model is worth. `levels` names thresholds and bands of its document, by their score."""

    label: str
    score: str
    levels: tuple[tuple[str, float], ...]
    area: Estimate
    deciles: tuple[Decile, ...]
    selections: tuple[Selection, ...]
    bins: tuple[Bin, ...]
    advice: tuple[Advice, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What was asked and observed, each model by itself, and every pair compared; `ranking` is places in `models`.

    `unknown_events` counts, by source, events that had happened by a lead's last moment and were not known then.
    """

    question: Question
    leads_seen: int
    leads: int
    leads_won: int
    observations: int
    wins: Estimate
    first_at: datetime
    last_at: datetime
    weeks: float
    left_out: dict[str, int]
    events: int
    unknown_events: dict[str, int]
    models: tuple[ModelReport, ...]
    ranking: tuple[int, ...]
    comparisons: tuple[Comparison, ...]


def report_of(observed: Observed, contenders: Sequence[Contender], question: Question, *, wish: Wish) -> Report:
    """The report on what was observed. Raises InvalidInput where it is too little to say anything."""
    observations = observed.observations()
    _check(observed)
    discrimination = discrimination_of(observations)
    first_us, last_us = min(observations.at_us), max(observations.at_us)
    weeks = max(1.0, (last_us - first_us + (question.every_us or 0)) / WEEK_US)
    return Report(
        question=question,
        leads_seen=observed.seen,
        leads=len(set(observations.leads)),
        leads_won=len(_winners(observations)),
        observations=len(observations),
        wins=_wins(observations),
        first_at=moment(first_us),
        last_at=moment(last_us),
        weeks=weeks,
        left_out={str(why): number for why, number in sorted(observed.left_out.items())},
        events=observed.events,
        unknown_events=dict(sorted(observed.unknown_events.items())),
        models=tuple(
            _model(
                observations, scores, contender, area=area, advice=_advice(Demand(observations, scores, weeks), wish)
            )
            for scores, contender, area in zip(observations.scores, contenders, discrimination.areas, strict=True)
        ),
        ranking=discrimination.ranking(),
        comparisons=discrimination.comparisons,
    )


def _check(observed: Observed) -> None:
    winners = {lead for lead, won in zip(observed.leads, observed.won, strict=True) if won}
    others = {lead for lead, won in zip(observed.leads, observed.won, strict=True) if not won}
    if min(len(winners), len(others)) >= _FEWEST_LEADS:
        return
    left_out = "; ".join(f"{number:,} {why}" for why, number in sorted(observed.left_out.items()))
    late = " ".join(f"--imported {source}" for source in sorted(observed.unknown_events))
    raise InvalidInput(
        f"of {observed.seen:,} leads {len(winners):,} could be observed before a win and {len(others):,} otherwise, "
        f"and it takes {_FEWEST_LEADS} of each"
        + (f"; left out: {left_out}" if left_out else "")
        + (f"; received too late to be known: {observed.unknown_events.total():,} events ({late}?)" if late else "")
    )


def _winners(observations: Observations) -> set[int]:
    return {lead for lead, won in zip(observations.leads, observations.won, strict=True) if won}


def _wins(observations: Observations) -> Estimate:
    share = Share()
    for lead, won in zip(observations.leads, observations.won, strict=True):
        share.add(lead, hit=won)
    return share.estimate()


def _model(
    observations: Observations,
    scores: Sequence[float],
    contender: Contender,
    *,
    area: Estimate,
    advice: Sequence[Advice],
) -> ModelReport:
    levels = {*levels_of(scores), *(level for _, level in contender.levels)}
    return ModelReport(
        label=contender.label,
        score=contender.score,
        levels=contender.levels,
        area=area,
        deciles=deciles_of(observations, scores),
        selections=selections_of(observations, scores, levels),
        bins=bins_of(observations, scores),
        advice=tuple(advice),
    )


def _advice(demand: Demand, wish: Wish) -> list[Advice]:
    found: list[Advice] = []
    if wish.leads_per_week is not None:
        found.append(demand.for_leads_per_week(wish.leads_per_week))
    if wish.share_of_wins is not None:
        found.append(demand.for_share_of_wins(wish.share_of_wins))
    return found
