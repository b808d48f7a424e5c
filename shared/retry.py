"""How long to wait before trying again: a value, so that every place that retries says the same."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits that double from `first_seconds` up to `longest_seconds`, each shortened by up to `jitter` of itself.

    Jitter keeps processes that failed together from coming back together.
    """

    first_seconds: float = 0.2
    longest_seconds: float = 15.0
    factor: float = 2.0
    jitter: float = 0.2

    def delay_seconds(self, failures: int, *, random: float) -> float:
        """The wait after `failures` in a row (1 = the first); `random` is drawn from 0 to 1 by the caller."""
        exponent = min(max(failures, 1) - 1, 64)
        full = min(self.longest_seconds, self.first_seconds * self.factor**exponent)
        return full * (1 - self.jitter * random)
