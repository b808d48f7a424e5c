"""How soon all must be scored and told of again, once the last fault is over."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Limits are for a machine that does nothing else; on a busy one everything may take so many times as long.
BUSY_FACTOR = 2.0
# With what is left over leadflow catches up at least as fast, on two cores with another lane beside it,
CATCH_UP_PER_SECOND = 100
# and however much it is, this is enough.
LONGEST_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """What it took, and how many events were `behind` when the fault was over: sent by the end, not scored yet."""

    seconds: float
    behind: int

    def limit_seconds(self, demanded_seconds: float) -> float:
        """What is allowed, on a busy machine too, where `demanded_seconds` are if nothing is left over."""
        return BUSY_FACTOR * min(demanded_seconds + self.behind / CATCH_UP_PER_SECOND, LONGEST_SECONDS)


def told(recoveries: Sequence[Recovery], demanded_seconds: float) -> Iterator[str]:
    """What each took, and what it might have taken."""
    for recovery in recoveries:
        yield f"recovered in {recovery.seconds:.0f} of {recovery.limit_seconds(demanded_seconds):.0f} s"


def too_slow(recoveries: Sequence[Recovery], demanded_seconds: float) -> Iterator[str]:
    """Those that took longer than is allowed; a scenario without any has not shown that it recovers."""
    if not recoveries:
        yield f"did not recover, {demanded_seconds:.0f} s are demanded"
    for recovery in recoveries:
        if recovery.seconds > (limit := recovery.limit_seconds(demanded_seconds)):
            yield (
                f"recovered in {recovery.seconds:.1f} s: {demanded_seconds:.0f} s are demanded, {recovery.behind} "
                f"events behind and a busy machine make it {limit:.1f} s"
            )
