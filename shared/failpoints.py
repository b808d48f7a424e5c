"""Places where a test can make this process die, one at each boundary between two commits.

Armed by the environment variable LEADFLOW_FAILPOINT alone, `name` or `name:pass` (die at that pass, from 1), read
once when the process starts. Unarmed, which is always but in fault tests, reaching one compares two names.
"""

import os
from typing import Final, Literal, TypeAlias

Failpoint: TypeAlias = Literal[
    "effects-committed-offsets-not",
    "published-not-marked",
    "delivered-not-recorded",
    "events-stored-states-not",
    "partitions-revoked",
    "log-acknowledged-sender-not-told",
]

FAILPOINTS: Final[tuple[Failpoint, ...]] = (
    "effects-committed-offsets-not",
    "published-not-marked",
    "delivered-not-recorded",
    "events-stored-states-not",
    "partitions-revoked",
    "log-acknowledged-sender-not-told",
)
EXIT_CODE: Final = 86

_name, _, _pass = os.environ.get("LEADFLOW_FAILPOINT", "").partition(":")  # noqa: TID251 - no setting of leadflow's
_passes_left = int(_pass or 1)


def reach(point: Failpoint) -> None:
    """Die here, as by kill -9, if this is the pass of the failpoint that is armed."""
    if point != _name:
        return
    global _passes_left  # noqa: PLW0603 - the process ends with it
    _passes_left -= 1
    if _passes_left == 0:
        os._exit(EXIT_CODE)
