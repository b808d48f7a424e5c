"""What a threshold would select: the share of it that wins, the share of wins in it, and the ROC curve."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from services.scorer.domain.what_if.backtest.intervals import Estimate, Share
from services.scorer.domain.what_if.backtest.observations import Observations, ranked

_STEPS: Final = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """Observations whose score reaches `threshold`.

    `precision` is the share of them that won, `recall` the share of all won that is among them, `false_alarms` the
    share of all not won that is.
    """

    threshold: float
    selected: int
    precision: Estimate
    recall: Estimate
    false_alarms: Estimate


def levels_of(scores: Sequence[float], steps: int = _STEPS) -> list[float]:
    """Scores that cut the observations into about `steps` parts, the highest first, and always the lowest."""
    step = len(scores) / steps
    found: list[float] = []
    selected = 0
    for score, places in ranked(scores):
        before, selected = selected, selected + len(places)
        if not found or int(selected / step) > int(before / step) or selected == len(scores):
            found.append(score)
    return found


def selections_of(
    observations: Observations, scores: Sequence[float], levels: Collection[float]
) -> tuple[Selection, ...]:
    """What each of `levels` selects, the highest first; in one pass over the scores."""
    precision, recall, false_alarms = Share(), Share(), Share()
    for lead, won in zip(observations.leads, observations.won, strict=True):
        (recall if won else false_alarms).add(lead, hit=False)
    wanted = sorted(set(levels))
    found: list[Selection] = []

    def note(below: float) -> None:
        while wanted and wanted[-1] > below:
            shares = precision.estimate(), recall.estimate(), false_alarms.estimate()
            found.append(Selection(wanted.pop(), round(precision.weight), *shares))

    for score, places in ranked(scores):
        note(score)
        for place in places:
            lead, won = observations.leads[place], observations.won[place]
            precision.add(lead, hit=won)
            (recall if won else false_alarms).turn(lead)
    note(float("-inf"))
    return tuple(found)
