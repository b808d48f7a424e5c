"""Elements that became no event, as messages: with all that it takes to try them again."""

import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Literal

from msgspec import Struct, field

from services.ingest.domain.outcome import Outcome, Reason, Status
from shared.events.parked import ElementParked, ParkedElement

SOURCE = "/leadflow/ingest"
Form = Literal["element", "body", "item", "cloud_event"]

# What tells something about an element beside its body. Everything else may be a secret or is of one attempt.
_KEPT_HEADERS = frozenset({"content-type", "webhook-id"})
_KEPT_PREFIX = "ce-"
_MOST_HEADERS = 64
_LONGEST_HEADER = 1_024
_LONGEST_TEXT = 512
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Origin(Struct, frozen=True, gc=False):
    """Where elements came from."""

    workspace: str
    source: str
    kind: str
    form: Form
    received_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of `headers` that tell something about the element, cut to what may be kept."""
    kept = [name for name in headers if name in _KEPT_HEADERS or name.startswith(_KEPT_PREFIX)]
    return {
        storable(name[:_LONGEST_TEXT]): storable(headers[name][:_LONGEST_HEADER]) for name in kept[:_MOST_HEADERS]
    }


def element_parked(outcome: Outcome, raw: bytes, origin: Origin, *, most_bytes: int) -> ElementParked:
    """The message that keeps an element whose outcome is no event. `raw` beyond `most_bytes` is cut off."""
    reason = outcome.reason or Reason("unknown", "no reason is known")
    headers = kept_headers(origin.headers)
    element_id = _digest(origin, headers, raw)
    data = ParkedElement(
        source=origin.source,
        kind=origin.kind,
        form=origin.form,
        disposition="parked" if outcome.status is Status.PARKED else "refused",
        code=reason.code,
        field=None if reason.field is None else storable(reason.field[:_LONGEST_TEXT]),
        message=storable(reason.message[:_LONGEST_TEXT]),
        element_id=None if outcome.id is None else storable(outcome.id[:_LONGEST_TEXT]),
        body=b64encode(raw[:most_bytes]),
        size_bytes=len(raw),
        headers=headers,
        received_at=origin.received_at,
    )
    return ElementParked(
        id=element_id,
        source=SOURCE,
        subject=element_id,
        time=origin.received_at,
        workspace=origin.workspace,
        data=data,
    )


def storable(text: str) -> str:
    """`text` without what neither PostgreSQL nor UTF-8 can hold."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _digest(origin: Origin, headers: Mapping[str, str], raw: bytes) -> str:
    """The same for the same element, however often it is sent."""
    about = [origin.workspace, origin.source, origin.form, *(f"{name}:{headers[name]}" for name in sorted(headers))]
    return sha256("\n".join(about).encode() + b"\n\n" + raw).hexdigest()[:40]
