"""What was seen lately, for signatures that cover neither the event nor the attempt.

In memory, so each process remembers its own, and none beyond a restart. It closes the door for as long as a
process lives and no longer: see the kinds that use it for what is left open.
"""

from collections import OrderedDict
from datetime import datetime, timedelta
from hashlib import sha256

_DIGEST_BYTES = 16


class Replays:
    """Remembers under which key which content came, for `memory`, at most `most` keys at once."""

    def __init__(self, memory: timedelta, *, most: int = 200_000) -> None:
        self._memory = memory
        self._most = most
        self._seen: OrderedDict[bytes, tuple[bytes, datetime]] = OrderedDict()

    def admits(self, key: str, content: str, now: datetime) -> bool:
        """Whether `key` is new, or came with the same `content`; remembers it."""
        self._forget_old(now)
        name, digest = _digest(key), _digest(content)
        if name not in self._seen:
            # Only what is new makes room, so that repeating the known cannot push anything out.
            if len(self._seen) >= self._most:
                self._seen.popitem(last=False)
            self._seen[name] = digest, now
        return self._seen[name][0] == digest

    def _forget_old(self, now: datetime) -> None:
        while self._seen and now - next(iter(self._seen.values()))[1] > self._memory:
            self._seen.popitem(last=False)


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()[:_DIGEST_BYTES]
