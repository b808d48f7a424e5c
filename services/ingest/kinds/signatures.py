"""What the signature schemes share: digests compared in constant time, and the age of an attempt."""

import base64
import binascii
import hmac
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from services.ingest.kinds.kind import Delivery, NotVerified
from shared.errors import InvalidInput

TOLERANCE = timedelta(minutes=5)
# Some platforms let people choose, and what is in use there must be usable here.
_SHORTEST_SECRET = 6
_LONGEST_NUMBER = 16


def header(delivery: Delivery, name: str) -> str:
    """A header that the signature needs. Raises NotVerified when it is missing or empty."""
    value = delivery.headers.get(name, "").strip()
    if not value:
        raise NotVerified
    return value


def check_text_secret(secret: str) -> None:
    """Raise InvalidInput for a secret that cannot be one."""
    if len(secret) < _SHORTEST_SECRET or not secret.isprintable():
        raise InvalidInput(
            f"must have at least {_SHORTEST_SECRET} printable characters", code="invalid_secret", field="secret"
        )


def require_fresh(timestamp: str, now: datetime, *, per_second: int = 1, tolerance: timedelta = TOLERANCE) -> None:
    """Raise NotVerified unless `timestamp` (whole seconds, or 1/`per_second`) is within `tolerance` of `now`."""
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= _LONGEST_NUMBER):
        raise NotVerified
    try:
        sent_at = datetime.fromtimestamp(int(timestamp) / per_second, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise NotVerified from error
    require_recent(sent_at, now, tolerance=tolerance)


def require_recent(sent_at: datetime, now: datetime, *, tolerance: timedelta = TOLERANCE) -> None:
    """Raise NotVerified unless the attempt of `sent_at` is within `tolerance` of `now`."""
    if abs(now - sent_at) > tolerance:
        raise NotVerified


def require_hmac(message: bytes, given: Iterable[bytes], *, keys: Iterable[bytes], algorithm: str = "sha256") -> None:
    """Raise NotVerified unless one of the `given` digests is that of `message` under one of the `keys`.

    Every pair is compared, so that the time taken does not tell which key is live.
    """
    digests = [hmac.digest(key, message, algorithm) for key in keys]
    candidates = list(given)
    matches = [hmac.compare_digest(digest, one) for digest in digests for one in candidates]
    if not any(matches):
        raise NotVerified


def from_base64(text: str) -> bytes:
    """The bytes of canonical base64: one spelling per value. Raises NotVerified."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotVerified from error
    if base64.b64encode(raw).decode("ascii") != text:
        raise NotVerified
    return raw


def from_hex(text: str) -> bytes:
    """The bytes of hexadecimal digits. Raises NotVerified."""
    try:
        return bytes.fromhex(text) if text.isascii() else b""
    except ValueError as error:
        raise NotVerified from error


@lru_cache(maxsize=1024)
def p256_key(der_base64: str) -> EllipticCurvePublicKey:
    """An ECDSA public key as SendGrid shows it: base64 of DER. Raises InvalidInput."""
    try:
        key = load_der_public_key(base64.b64decode(der_base64, validate=True))
    except (ValueError, binascii.Error) as error:
        raise InvalidInput("is not a public key", code="invalid_secret", field="secret") from error
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise InvalidInput("is not a P-256 public key", code="invalid_secret", field="secret")
    return key


def p256_signed(key: EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (DER) is that of `message`."""
    try:
        key.verify(signature, message, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def ed25519_signed(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is that of `message` under the 32 bytes of a public key."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True
