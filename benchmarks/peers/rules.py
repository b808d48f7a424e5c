"""The 25 rules of model.yaml by hand, the record read and checked, and one event folded into its lead.

Shared by every Python engine, so that what differs between them is the engine. It is about as quick as Python gets:
a record is checked while it is decoded, and an event is held only against the rules of its type.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec

CROSSED_AT = 50.0
HALF_LIFE_US = 14 * 86_400 * 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = (datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC) - _EPOCH).resolution
_OFFER = re.compile(r"(?i)/(offer|quote|pricing)\b")
_PRODUCT = frozenset({"/product", "/product/tour", "/integrations", "/security"})
_PAID = frozenset({"cpc", "paid_social"})
_KEY_FEATURES = frozenset({"export", "api", "single_sign_on"})

Properties = dict[str, Any]


class Event(msgspec.Struct, gc=False):
    """What a record must have to be an event; anything else in it is somebody else's."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    type: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)]
    properties: Properties

    @property
    def occurred_us(self) -> int:
        """Microseconds since 1970, exact."""
        return (self.occurred_at - _EPOCH) // _MICROSECOND


class Record(msgspec.Struct, gc=False):
    """The envelope around it."""

    data: Event


class Lead(NamedTuple):
    """`score` is what all its events are worth at the moment `as_of`; `last_us` when the latest of them happened."""

    score: float
    events: int
    last_us: int


NOBODY = Lead(0.0, 0, 0)
_decoder = msgspec.json.Decoder(Record)


def read(body: bytes) -> Event | None:
    """The event in a record, or None if that is invalid."""
    try:
        return _decoder.decode(body).data
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def fold(lead: Lead, event: Event, as_of_us: int) -> Lead:
    """`lead` after `event`: a decayed sum, a count, a maximum."""
    happened = event.occurred_us
    worth = points(event) * 2.0 ** ((happened - as_of_us) / HALF_LIFE_US)
    return Lead(lead.score + worth, lead.events + 1, max(lead.last_us, happened))


def crosses(before: Lead, after: Lead) -> bool:
    """Whether this event brought the lead to 50. Points are never negative, so that happens once."""
    return before.score < CROSSED_AT <= after.score


def points(event: Event) -> float:
    """What the rules give for one event, undecayed."""
    rules = _RULES.get(event.type)
    return 0.0 if rules is None else rules(event.properties, event.source)


def _page_viewed(properties: Properties, source: str) -> float:
    given, path = 0.0, properties.get("path")
    if isinstance(path, str):
        given += 0.25 if path.startswith("/careers") else 1
        given += 6 if path.startswith("/pricing") else 0
        given += 2 if path in _PRODUCT else 0
        given += 2 if source == "web" and path.startswith("/docs") else 0
    else:
        given += 1
    given += 2 if _number(properties.get("duration_seconds")) >= 120 else 0
    campaign = properties.get("campaign")
    given += 1 if isinstance(campaign, dict) and campaign.get("medium") in _PAID else 0
    return given


def _email_clicked(properties: Properties, _source: str) -> float:
    url = properties.get("url")
    given = 0.0 if properties.get("machine") is True else 3
    return given + (5 if isinstance(url, str) and _OFFER.search(url) else 0)


def _form_submitted(properties: Properties, _source: str) -> float:
    message = properties.get("message")
    wants_us = properties.get("form") == "contact" or (isinstance(message, str) and "demo" in message)
    return 16 if wants_us else 6


def _feature_used(properties: Properties, _source: str) -> float:
    return 6 if properties.get("feature") in _KEY_FEATURES else 2


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _always(given: float) -> Callable[[Properties, str], float]:
    return lambda _properties, _source: given


_RULES: dict[str, Callable[[Properties, str], float]] = {
    "page_viewed": _page_viewed,
    "email_opened": lambda properties, _: 0 if properties.get("machine") is True else 1,
    "email_clicked": _email_clicked,
    "email_replied": _always(12),
    "content_downloaded": _always(6),
    "webinar_registered": _always(3),
    "webinar_attended": lambda properties, _: 12 if _number(properties.get("minutes")) >= 15 else 0,
    "form_submitted": _form_submitted,
    "demo_requested": _always(16),
    "meeting_booked": _always(10),
    "meeting_held": _always(10),
    "meeting_canceled": _always(0.5),
    "meeting_no_show": _always(0.5),
    "trial_started": _always(10),
    "feature_used": _feature_used,
    "colleague_invited": _always(8),
    "unsubscribed": _always(0.25),
    "spam_complaint": _always(0.25),
    "bounced": lambda properties, _: 0.25 if properties.get("bounce_class") == "hard" else 0,
}
