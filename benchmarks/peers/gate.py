"""No figure without the right answer: what an engine left behind, held against the oracle.

Engines that keep a score for the moment of the run must agree to 1e-9 of it. leadflow publishes scores as they are
when it tells them, rounded to two decimals: each is compared with what the right score has decayed to by then, at
that precision. Which leads crossed must be the same set; a crossing told twice is counted, and shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.peers.oracle import THRESHOLD, Expected, Outcome, score_after

RELATIVE = 1e-9
_ROUNDED = 0.005
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Left:
    """What an engine left behind about one lead; its score is of `after_us` after the moment of the run."""

    score: float
    count: int
    last_us: int
    after_us: float = 0.0
    rounded: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """All that an engine left behind. `crossings` is every message of a crossing, by lead, in any order.

    `repeated` says how often a message came again under its own id: whoever reads those has nothing to decide.
    """

    leads: Mapping[int, Left]
    crossings: Sequence[int]
    repeated: int = 0

    @property
    def doubled(self) -> int:
        """Crossings that were told more than once."""
        return len(self.crossings) - len(set(self.crossings))


def faults(expected: Expected, found: Found, *, as_of_us: int) -> list[str]:
    """Why this run has no figure; empty if it has."""
    wrong = [
        fault
        for lead, outcome in expected.leads.items()
        if (fault := _fault(outcome, found.leads.get(lead), as_of_us)) is not None
    ]
    strangers = len(found.leads.keys() - expected.leads.keys())
    said = _some(wrong, "lead")
    said += [f"{strangers} leads that nothing valid happened to"] if strangers else []
    missing, invented = crossing_faults(expected, found)
    said += [f"{len(missing)} crossings missing"] if missing else []
    return said + ([f"{len(invented)} crossings that were none"] if invented else [])


def score_is_right(outcome: Outcome, left: Left) -> bool:
    """Whether the score agrees, to what was promised of its precision."""
    right = score_after(outcome, left.after_us)
    return abs(left.score - right) <= right * RELATIVE + (_ROUNDED if left.rounded else 0.0)


def crossing_faults(expected: Expected, found: Found) -> tuple[frozenset[int], frozenset[int]]:
    """Leads whose crossing is missing, and leads that were told to cross and do not.

    A score that decays below the threshold between the run's moment and its end may be seen on either side.
    """
    latest = max((left.after_us for left in found.leads.values()), default=0.0)
    either = {lead for lead in expected.crossed if score_after(expected.leads[lead], latest) < THRESHOLD}
    told = frozenset(found.crossings)
    return expected.crossed - told - either, told - expected.crossed


def _fault(outcome: Outcome, left: Left | None, as_of_us: int) -> str | None:
    if left is None:
        return "missing"
    if left.count != outcome.count:
        return f"count {left.count} instead of {outcome.count}"
    if left.last_us != as_of_us - outcome.last_ago_us:
        return f"last time off by {left.last_us - as_of_us + outcome.last_ago_us} us"
    if score_is_right(outcome, left):
        return None
    return f"score {left.score!r} instead of {score_after(outcome, left.after_us)!r}"


def _some(wrong: Sequence[str], thing: str) -> list[str]:
    if not wrong:
        return []
    return [f"{len(wrong)} {thing}s are wrong: {'; '.join(wrong[:_SHOWN])}"]
