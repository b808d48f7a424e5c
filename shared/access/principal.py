"""On whose behalf a request is handled."""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a key may be used for."""

    EVENTS_WRITE = "events:write"
    LEADS_READ = "leads:read"
    LEADS_ERASE = "leads:erase"
    SCORES_WRITE = "scores:write"
    MODELS_WRITE = "models:write"
    PIPELINES_WRITE = "pipelines:write"
    SUBSCRIPTIONS_WRITE = "subscriptions:write"
    SOURCES_WRITE = "sources:write"
    KEYS_WRITE = "keys:write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller: everything it sees or writes belongs to `workspace`."""

    workspace: str
    key_id: str
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Whether the key holds `scope`; `admin` holds all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes
