"""How often Python looks for cycles of garbage: seldom, because almost everything here is freed by counting.

A batch of the scorer makes hundreds of thousands of objects that live until it is committed. At Python's own
thresholds the collector walks through all of them again and again: a third of the scorer's processor time. Even
once is tens of milliseconds in which nothing else happens, so it is not done while a batch is in hand.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_YOUNG: Final = 50_000
_MIDDLE: Final = 20
_OLD: Final = 100


def collect_seldom() -> None:
    """Leave alone what there is now, for good, and look less often at what comes; once, when all is imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)


@contextmanager
def uncollected() -> Iterator[None]:
    """Work on much that is freed by counting when the block ends: cycles are looked for after it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
