"""Who may call leadflow, and what for: API keys, their scopes and their workspaces."""

from shared.access.errors import Forbidden, Unauthenticated
from shared.access.guard import require
from shared.access.keyring import KeyRing
from shared.access.keys import NewKey
from shared.access.principal import Principal, Scope
from shared.access.repository import KeyRepository

__all__ = [
    "Forbidden",
    "KeyRepository",
    "KeyRing",
    "NewKey",
    "Principal",
    "Scope",
    "Unauthenticated",
    "require",
]
