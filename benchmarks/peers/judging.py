"""What a killed engine has lost and doubled, held against the oracle and against what it had promised.

Events are counted per lead, as the engine itself counted them: one lost and one doubled for the same lead would hide
each other there, but not in its score.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from benchmarks.peers.gate import Found, crossing_faults, score_is_right
from benchmarks.peers.oracle import Expected


class Promise(Enum):
    """What an engine says of itself when it is killed. The value is how the tables call it."""

    NOTHING = "none"
    SUMS = "sums exactly once, crossings at most once"
    LEAST_ONCE = "at least once"
    EXACTLY_ONCE_IN_KAFKA = "exactly once in Kafka"
    EXACTLY_ONCE_IN_EFFECT = "exactly once in effect"


@dataclass(frozen=True, slots=True)
class Harm:
    """What a kill did. `repeated` crossings are those told again as the same message, with the same id."""

    wrong_scores: int
    lost: int
    doubled: int
    crossings_missing: int
    crossings_doubled: int
    crossings_invented: int
    repeated: int = 0

    def keeps(self, promise: Promise) -> bool:
        """Whether `promise` was kept."""
        exact = not (self.wrong_scores or self.lost or self.doubled)
        told = not (self.crossings_missing or self.crossings_invented)
        match promise:
            case Promise.NOTHING:
                return True
            case Promise.SUMS:
                return exact and not self.crossings_doubled
            case Promise.LEAST_ONCE:
                return not self.lost and not self.crossings_missing
            case Promise.EXACTLY_ONCE_IN_KAFKA | Promise.EXACTLY_ONCE_IN_EFFECT:
                return exact and told and not self.crossings_doubled


def harm(expected: Expected, found: Found) -> Harm:
    """The difference between what must be there and what is."""
    counts = {lead: left.count for lead, left in found.leads.items()}
    lost, doubled = lost_and_doubled({lead: outcome.count for lead, outcome in expected.leads.items()}, counts)
    missing, invented = crossing_faults(expected, found)
    wrong = sum(
        lead not in found.leads or not score_is_right(outcome, found.leads[lead])
        for lead, outcome in expected.leads.items()
    )
    return Harm(wrong, lost, doubled, len(missing), found.doubled, len(invented), found.repeated)


def lost_and_doubled(right: Mapping[int, int], counts: Mapping[int, int]) -> tuple[int, int]:
    """How many events of all leads are not counted, and how many are counted that must not be."""
    differences = [counts.get(lead, 0) - right.get(lead, 0) for lead in right.keys() | counts.keys()]
    return -sum(one for one in differences if one < 0), sum(one for one in differences if one > 0)
