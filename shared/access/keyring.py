"""All good keys, in memory: a request is let in without a query, and while PostgreSQL is away."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from shared.access import keys
from shared.access.errors import Unauthenticated
from shared.access.pacing import UNHURRIED, Cost, Pacer, Paces
from shared.access.principal import Principal
from shared.access.repository import KeyRepository, StoredKey
from shared.clock import Clock
from shared.db.engine import Database
from shared.db.snapshot import Snapshot
from shared.observability.metrics import CREDENTIAL_EXPIRY

# Compared with when the key id is unknown, so that known and unknown ids take the same time.
_NOBODYS_DIGEST = bytes(32)


# What was made for less is meant to end.
_LASTING = timedelta(weeks=4)


class KeyRing:
    """Tells who a key is. `snapshot.run` must run as a task of the process: it brings revocations within 2 s."""

    def __init__(self, database: Database, clock: Clock, paces: Paces = UNHURRIED) -> None:
        self._clock = clock
        self._pacers = {"cheap": Pacer(paces.cheap, clock), "dear": Pacer(paces.dear, clock)}
        self._keys = KeyRepository(database)
        self.snapshot: Snapshot[dict[str, StoredKey]] = Snapshot(self._load, name="API keys")

    async def _load(self) -> dict[str, StoredKey]:
        live = await self._keys.live()
        CREDENTIAL_EXPIRY.labels("api_key").set(_first_end(live.values(), self._clock.now()))
        return live

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

    def admit(self, principal: Principal, cost: Cost) -> None:
        """Return if the key may make a call of this cost now. Raises RateLimited, saying when."""
        if cost != "free":
            self._pacers[cost].admit(principal.key_id)

    def still_good(self, principal: Principal) -> bool:
        """Whether the key that let `principal` in would do so now: for answers that last long."""
        stored = self.snapshot.current().get(principal.key_id)
        return stored is not None and stored.is_good(self._clock.now())


def _first_end(stored: Iterable[StoredKey], now: datetime) -> float:
    """When the first key ends that is good now, as a timestamp; 0 when none does."""
    lasting = (key for key in stored if key.is_good(now))
    ends = [key.expires_at for key in lasting if key.expires_at and key.expires_at - key.created_at > _LASTING]
    return min(ends).timestamp() if ends else 0.0
