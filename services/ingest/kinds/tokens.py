"""For platforms that sign nothing: a secret in what they can be told to send along.

That is a parameter of the URL (`?token=`, `?secret=` or `?access_token=`), Basic authentication (the source's
secret is `user:password`, or the password alone), a bearer token, or any header whose name begins with `X-`.
None of them covers the body, so they are worth as much as the TLS they travel in.
"""

import base64
import binascii
import hmac
from collections.abc import Iterator
from hashlib import sha256

from services.ingest.kinds import signatures
from services.ingest.kinds.forms import parse_form
from services.ingest.kinds.kind import Delivery, NotVerified, Source
from shared.errors import InvalidInput

PARAMETERS = frozenset({"token", "secret", "access_token"})
_CUSTOM_HEADER = "x-"
_MOST_CANDIDATES = 32

check_secret = signatures.check_text_secret


def verify(delivery: Delivery, source: Source) -> None:
    """Return if the delivery brings a live secret of `source` along; raise NotVerified otherwise."""
    given = [_digest(candidate) for candidate in list(_candidates(delivery))[:_MOST_CANDIDATES]]
    secrets = [_digest(secret) for secret in source.live_secrets(delivery.received_at)]
    matches = [hmac.compare_digest(secret, one) for secret in secrets for one in given]
    if not any(matches):
        raise NotVerified


def _candidates(delivery: Delivery) -> Iterator[str]:
    scheme, _, credentials = delivery.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        yield credentials.strip()
    if scheme.lower() == "basic":
        yield from _basic(credentials.strip())
    yield from _parameters(delivery.query)
    yield from (value.strip() for name, value in delivery.headers.items() if name.startswith(_CUSTOM_HEADER))


def _basic(credentials: str) -> Iterator[str]:
    """`user:password`, and the password alone."""
    try:
        text = base64.b64decode(credentials.encode("ascii"), validate=True).decode()
    except (binascii.Error, ValueError):
        return
    yield text
    user, colon, password = text.partition(":")
    if colon and user and password:
        yield password


def _parameters(query: str) -> Iterator[str]:
    try:
        fields = parse_form(query.encode()).fields
    except (InvalidInput, UnicodeEncodeError):
        return
    yield from (value for name, value in fields if name in PARAMETERS)


def _digest(text: str) -> bytes:
    """Digests have one length, so comparing them does not tell that of the secret."""
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
