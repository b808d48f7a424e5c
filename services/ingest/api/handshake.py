"""The handshake of CloudEvents' HTTP Webhook specification, section 4: no sender has to guess that it may."""

import re
from collections.abc import Mapping

METHODS = "GET, HEAD, OPTIONS, POST"
_ORIGIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
_RATE = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_ANY_RATE = "*"


def consent(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of the answer to an OPTIONS request; without an origin that can be one, none that consents.

    The rate, in requests a minute, is what was asked for: whoever sends more than leadflow takes is told so by
    a 429 with Retry-After.
    """
    allow = {"Allow": METHODS}
    origin = headers.get("webhook-request-origin", "").strip()
    if _ORIGIN.fullmatch(origin) is None:
        return allow
    rate = headers.get("webhook-request-rate", "").strip()
    allowed_rate = rate if _RATE.fullmatch(rate) else _ANY_RATE
    return {**allow, "WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": allowed_rate}
