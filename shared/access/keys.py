"""The text of an API key: `lf_<environment>_<key id>_<secret>_<checksum>`.

The prefix lets secret scanners find a leaked key, the checksum refuses a typing error without a look-up,
the key id finds the row, and only the digest of the secret is stored. A fast digest is right here: the
secret has 256 random bits, so there is nothing to guess.
"""

import re
import zlib
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest

_FORM = re.compile(r"lf_[a-z0-9]{1,16}_(?P<key_id>[0-9a-f]{16})_(?P<secret>[0-9a-f]{64})_(?P<checksum>[0-9a-f]{8})")
KEY_ID_BYTES = 8
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """A key as a caller shows it: well formed, not yet known to be good."""

    key_id: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at its birth: `text` is shown once and never stored."""

    key_id: str
    text: str
    digest: bytes


def mint(key_id: bytes, secret: bytes, *, environment: str = "live") -> NewKey:
    """The key made of `KEY_ID_BYTES` and `SECRET_BYTES` random bytes."""
    body = f"lf_{environment}_{key_id.hex()}_{secret.hex()}"
    return NewKey(key_id.hex(), f"{body}_{_checksum(body)}", _digest(secret.hex()))


def read(text: str) -> PresentedKey | None:
    """The key in `text`; None for what cannot be one."""
    match = _FORM.fullmatch(text)
    if match is None or _checksum(text.rpartition("_")[0]) != match["checksum"]:
        return None
    return PresentedKey(match["key_id"], _digest(match["secret"]))


def same_digest(one: bytes, other: bytes) -> bool:
    """Compare in constant time."""
    return compare_digest(one, other)


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
