"""All good keys, in memory: a request is let in without a query, and while PostgreSQL is away."""

from shared.access import keys
from shared.access.errors import Unauthenticated
from shared.access.principal import Principal
from shared.access.repository import KeyRepository, StoredKey
from shared.clock import Clock
from shared.db.engine import Database
from shared.db.snapshot import Snapshot

# Compared with when the key id is unknown, so that known and unknown ids take the same time.
_NOBODYS_DIGEST = bytes(32)


class KeyRing:
    """Tells who a key is. `snapshot.run` must run as a task of the process: it brings revocations within 2 s."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self.snapshot: Snapshot[dict[str, StoredKey]] = Snapshot(KeyRepository(database).live, name="API keys")

    async def loaded(self) -> None:
        """Raise NotLoaded (a TransientError) before the keys have been read: for readiness."""
        self.snapshot.current()

    def authenticate(self, text: str | None) -> Principal:
        """The caller that holds the key `text`.

        Raises Unauthenticated when it is none, mistyped, unknown, expired or revoked; NotLoaded before the
        keys have been read for the first time.
        """
        presented = keys.read(text) if text else None
        if presented is None:
            raise Unauthenticated
        stored = self.snapshot.current().get(presented.key_id)
        same = keys.same_digest(presented.digest, stored.digest if stored else _NOBODYS_DIGEST)
        if stored is None or not same or not stored.is_good(self._clock.now()):
            raise Unauthenticated
        return Principal(stored.workspace, stored.key_id, stored.scopes)

    def still_good(self, principal: Principal) -> bool:
        """Whether the key that let `principal` in would do so now: for answers that last long."""
        stored = self.snapshot.current().get(principal.key_id)
        return stored is not None and stored.is_good(self._clock.now())
