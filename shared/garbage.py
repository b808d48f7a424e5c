"""How often Python looks for cycles of garbage: seldom, because almost everything here is freed by counting.

A batch of the scorer makes hundreds of thousands of objects that live until it is committed. At Python's own
thresholds the collector walks through all of them again and again: a third of the scorer's processor time.
"""

import gc
from typing import Final

_YOUNG: Final = 50_000
_MIDDLE: Final = 20
_OLD: Final = 100


def collect_seldom() -> None:
    """Leave alone what there is now, for good, and look less often at what comes; once, when all is imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
