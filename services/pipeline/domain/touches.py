"""Where a lead came from, as its events tell: the first of them, and the last that names a campaign or a place.

Both are a least and a greatest of one total order, so they depend neither on the order of the log nor on when two
leads turned out to be one.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

from shared.events.json import Json
from shared.events.scores import RecordedEvent

_LONGEST: Final = 200
_LONGEST_URL: Final = 4_000
_NAMES: Final = {
    "source": ("utm_source",),
    "medium": ("utm_medium",),
    "campaign": ("utm_campaign", "campaign", "campaign_name", "campaign_id"),
}
_KEYS: Final = frozenset(key for keys in _NAMES.values() for key in keys)
_URLS: Final = ("url", "page_url", "landing_page", "referring_url")
_OURS: Final = frozenset(
    {"email_sent", "email_delivered", "email_deferred", "email_dropped", "email_drafted", "bounced"}
)


class Touch(Struct, frozen=True, gc=False):
    """An event that brought the lead: `source` is its utm_source, else who reported it. `id` settles ties."""

    source: str
    at: datetime
    campaign: str | None = None
    medium: str | None = None
    id: str = ""

    @property
    def place(self) -> tuple[datetime, str, str]:
        """Its place among all touches of a lead."""
        return self.at, self.id, self.source


def touch_of(event: RecordedEvent) -> Touch:
    """The event as a touch; what it names stands in its properties, or in the address of the page."""
    return _touch(event, _named(event.properties))


def _touch(event: RecordedEvent, named: Mapping[str, str]) -> Touch:
    return Touch(
        source=named.get("source", event.source),
        at=event.occurred_at,
        campaign=named.get("campaign"),
        medium=named.get("medium"),
        id=f"{event.source}/{event.id}",
    )


def named_touch_of(event: RecordedEvent) -> Touch | None:
    """The same for an event of the lead's own doing that names where it came from; None for any other."""
    if event.properties.get("machine") is True or event.type in _OURS:
        return None
    named = _named(event.properties)
    return _touch(event, named) if named else None


def first_touch(known: Touch | None, events: Iterable[RecordedEvent]) -> Touch | None:
    """The earliest of what is known and of these events."""
    earlier = (touch_of(event) for event in events if known is None or event.occurred_at <= known.at)
    return first_of(known, *earlier)


def first_of(*touches: Touch | None) -> Touch | None:
    """The earliest."""
    return min((touch for touch in touches if touch), key=lambda touch: touch.place, default=None)


def last_of(*touches: Touch | None) -> Touch | None:
    """The latest."""
    return max((touch for touch in touches if touch), key=lambda touch: touch.place, default=None)


def _named(properties: Mapping[str, Json]) -> dict[str, str]:
    stated = {**_from_addresses(properties), **dict(_stated(properties))}
    if not stated:
        return {}
    return {
        name: text for name, keys in _NAMES.items() if (text := next((stated[k] for k in keys if k in stated), None))
    }


def _stated(properties: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    for key in _KEYS.intersection(properties):
        text = _text(properties[key])
        if text:
            yield key, text


def _from_addresses(properties: Mapping[str, Json]) -> dict[str, str]:
    for key in _URLS:
        url = properties.get(key)
        if isinstance(url, str) and "utm_" in url and len(url) <= _LONGEST_URL:
            return {name: text for name, value in _query(url) if name.startswith("utm_") and (text := _text(value))}
    return {}


def _query(url: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(urlsplit(url).query, max_num_fields=100)
    except ValueError:
        return []


def _text(value: Json) -> str | None:
    """Ids of campaigns are numbers now and then; a campaign that is an object goes by its name."""
    if isinstance(value, dict):
        value = value.get("name")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)[:_LONGEST]
    if not isinstance(value, str):
        return None
    return value.replace("\x00", "").strip()[:_LONGEST] or None
