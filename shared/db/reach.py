"""Whose rows a transaction may touch: those of one workspace, or of all; there is no third, and no default.

PostgreSQL itself keeps workspaces apart, by row security on two roles (migrations/row_security.py). A transaction
takes one of them for as long as it lasts, so that a statement that forgets its filter finds nothing of another
workspace. What one request asks for is a transaction of its workspace; only work that nobody asked for (batches of
the log, moments that are due, relays, counts for metrics) and commands on the machine may reach all.
"""

from enum import Enum
from typing import Final, Literal

APP_ROLE: Final = "leadflow_app"
WORKER_ROLE: Final = "leadflow_worker"


class _Everybody(Enum):
    ALL_WORKSPACES = "all workspaces"


AllWorkspaces = Literal[_Everybody.ALL_WORKSPACES]
ALL_WORKSPACES: Final = _Everybody.ALL_WORKSPACES
# The name of a workspace can never mean all of them: only this constant does.
Reach = str | AllWorkspaces


def taken(reach: Reach) -> dict[str, str]:
    """The role that a transaction takes, and the workspace that its rows must be of."""
    if isinstance(reach, str):
        return {"role": APP_ROLE, "workspace": reach}
    return {"role": WORKER_ROLE, "workspace": ""}
