"""What a sealed content looks like: form, id of its key, nonce, and AES-256-GCM's output. No I/O.

The id stands in front, so that content can be opened whatever row it is found in. `about` says what kind of content
it is, and is authenticated with it: what was sealed as an event opens as nothing else.
"""

import zlib
from base64 import b64decode
from binascii import Error as NoBase64
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from secrets import token_bytes
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.errors import Misconfigured

KEY_BYTES: Final = 32
# No JSON text begins with either.
_PLAIN: Final = b"\x01"
_PACKED: Final = b"\x02"
_ID = slice(1, 17)
_NONCE = slice(17, 29)
_REST = slice(29, None)
_NONCE_BYTES: Final = 12
# Ciphertext cannot be compressed by PostgreSQL any more, so what is worth it is compressed before.
_WORTH_PACKING_BYTES: Final = 1024
# What is packed has some kilobytes: the tables of zlib's own choice, 256 of them, take longer to clear than to use.
_WINDOW_BITS: Final = 13
_MEMORY_LEVEL: Final = 6
# A cipher takes 2.6 kB, and a microsecond to make: for the leads of a batch or two, each sealed several times.
_READY_CIPHERS: Final = 2_048


class Unreadable(Exception):
    """The content was changed, or sealed with another key."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """The key of one lead, dead letter or parked element."""

    id: UUID
    secret: bytes = field(repr=False)


def seal(key: DataKey, content: bytes, about: bytes, *, is_brief: bool = False, nonce: bytes | None = None) -> bytes:
    """`content`, for nobody without the key. What is kept for a moment only, `is_brief`, is not worth packing.

    `nonce` is one of `fresh_nonces`, used for nothing else.
    """
    form = _PLAIN
    if len(content) >= _WORTH_PACKING_BYTES and not is_brief:
        form, content = _PACKED, _packed(content)
    nonce = nonce or token_bytes(_NONCE_BYTES)
    return form + key.id.bytes + nonce + _cipher(key.secret).encrypt(nonce, content, about)


@lru_cache(_READY_CIPHERS)
def _cipher(secret: bytes) -> AESGCM:
    return AESGCM(secret)


def forget_ciphers() -> None:
    """Keep no secret in memory for the sake of speed; whoever has a key goes on with it."""
    _cipher.cache_clear()


def fresh_nonces(number: int) -> list[bytes]:
    """As many nonces, of one question to the system's randomness."""
    random = token_bytes(_NONCE_BYTES * number)
    return [random[first : first + _NONCE_BYTES] for first in range(0, len(random), _NONCE_BYTES)]


def _packed(content: bytes) -> bytes:
    packing = zlib.compressobj(1, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
    return packing.compress(content) + packing.flush()


def is_sealed(stored: bytes) -> bool:
    """Whether this is a sealed content, in a place where everything else is JSON."""
    return stored[:1] in {_PLAIN, _PACKED}


def key_id_of(sealed: bytes) -> UUID:
    """Which key opens it."""
    return UUID(bytes=key_mark_of(sealed))


def key_mark_of(sealed: bytes) -> bytes:
    """The id of that key as it stands in front."""
    return sealed[_ID]


def unseal(key: DataKey, sealed: bytes, about: bytes) -> bytes:
    """The content. Raises Unreadable."""
    try:
        content = _cipher(key.secret).decrypt(sealed[_NONCE], sealed[_REST], about)
    except InvalidTag as error:
        raise Unreadable(f"content of key {key.id} does not open") from error
    return zlib.decompress(content) if sealed[:1] == _PACKED else content


@dataclass(frozen=True, slots=True)
class MasterKey:
    """What data keys are sealed with in the database; `name` is public."""

    name: str
    cipher: AESGCM = field(repr=False)

    def wrap(self, key_id: UUID, key: bytes) -> bytes:
        """The data key, sealed."""
        nonce = token_bytes(_NONCE_BYTES)
        return nonce + self.cipher.encrypt(nonce, key, key_id.bytes)

    def unwrap(self, key_id: UUID, wrapped: bytes) -> bytes:
        """The data key. Raises Misconfigured when it is not one that this key has sealed."""
        try:
            return self.cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], key_id.bytes)
        except InvalidTag as error:
            raise Misconfigured(f"data key {key_id} does not open with master key {self.name}") from error


def master_keys(text: str) -> tuple[MasterKey, ...]:
    """The keys in `text`, base64 of 32 bytes each, separated by commas. Raises Misconfigured."""
    return tuple(_master_key(part.strip()) for part in text.split(",") if part.strip())


def _master_key(text: str) -> MasterKey:
    try:
        key = b64decode(text, validate=True)
    except NoBase64 as error:
        raise Misconfigured("LEADFLOW_SEALING_KEYS: a key is the base64 of 32 random bytes") from error
    if len(key) != KEY_BYTES:
        raise Misconfigured(f"LEADFLOW_SEALING_KEYS: a key has 32 bytes, not {len(key)}")
    return MasterKey(sha256(b"leadflow master key" + key).hexdigest()[:12], AESGCM(key))
