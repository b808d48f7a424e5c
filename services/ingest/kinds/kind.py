"""What every kind of webhook source can do, and what it is given.

A kind is one module with NAME and four functions, and `read_body` or TRAITS where its platform is peculiar;
`registry` lists them. Verification sees raw bytes only: no parser runs on what nobody has vouched for, but
where the signature is in the body, or is over the fields of a form.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from services.ingest.domain.draft import Draft
from shared.access.errors import Unauthenticated
from shared.events.json import Json


class NotVerified(Unauthenticated):
    """The request is not proven to come from the source; the same for every reason and for no source."""

    def __init__(self) -> None:
        super().__init__("the request is not verified for this source")


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret shared with the platform, or its public key. Two may live at once, for a rotation."""

    id: str
    secret: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A configured sender of webhooks.

    `event_names` maps the platform's free-text names to engagement types; `public_url` is the URL that the
    platform calls, for signatures that cover it; `time_zone` (IANA) is meant where the platform names none;
    `tolerance_seconds` is the most that an attempt's time stamp may be old, where the kind leaves it open.
    """

    id: str
    workspace: str
    kind: str
    secrets: tuple[Secret, ...]
    public_url: str | None = None
    event_names: Mapping[str, str] = field(default_factory=dict)
    time_zone: str = "UTC"
    tolerance_seconds: int | None = None

    def live_secrets(self, now: datetime) -> tuple[str, ...]:
        """The secrets that count at `now`, newest first."""
        live = [one for one in self.secrets if one.expires_at is None or now < one.expires_at]
        return tuple(one.secret for one in sorted(live, key=lambda one: one.created_at, reverse=True))


@dataclass(frozen=True, slots=True)
class Delivery:
    """A request as it came: header names in lower case, the body untouched, the query without its `?`."""

    method: str
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    query: str = ""


@dataclass(frozen=True, slots=True)
class Traits:
    """How a platform differs at the door from what most do.

    `accepted_status` is the answer to what was taken: some take no other than 200 for a success. With
    `any_answer_ends_it` the platform forgets a delivery at any answer whatever, so that trouble on our side
    must look like a lost connection. With `longest_tolerance_seconds` a source may set its own, up to that:
    a platform that repeats the first time stamp at every attempt gives a choice between late and replayed.
    With `delivers_by_get` the parameters of a GET are a delivery. `patience_seconds` is how long the log may take
    before it is a 503: less than the platform waits for an answer, which for most is 5 s or more. What
    `comes_once` is tried again during that time, because no answer makes the platform send it again.
    """

    accepted_status: int = 202
    any_answer_ends_it: bool = False
    delivers_by_get: bool = False
    patience_seconds: float = 4.0
    comes_once: bool = False
    longest_tolerance_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Translated:
    """An element that is an event; `ignored` when it is one that models give no points for by nature."""

    draft: Draft
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class Parked:
    """An element that leadflow cannot place yet: an unknown type, or nobody to tell whose it is."""

    code: str
    message: str
    element_id: str | None = None


@dataclass(frozen=True, slots=True)
class Recognised:
    """An element that is understood and is about no lead, such as a finished campaign: nothing comes of it."""

    element_id: str


Element = Translated | Parked | Recognised


class Kind(Protocol):
    """A module of this package. Adding one: the module, a line in `registry`, its tests."""

    NAME: str
    NEEDS_PUBLIC_URL: bool

    def check_secret(self, secret: str) -> None:
        """Raise InvalidInput, in words, for a secret that no request could ever be verified with."""
        ...

    def verify(self, delivery: Delivery, source: Source) -> None:
        """Return if the platform vouches for the raw bytes now; raise NotVerified otherwise."""
        ...

    def elements(self, body: Json) -> Sequence[Json]:
        """The elements of a parsed body. Raises InvalidInput when the body is not of this kind at all."""
        ...

    def translate(
        self, element: Mapping[str, Json], delivery: Delivery, source: Source
    ) -> Element | Sequence[Element]:
        """What one element says; some say two things at once.

        Raises InvalidInput for an element that says nothing sensible.
        """
        ...


@runtime_checkable
class ReadsBody(Protocol):
    """A kind whose bodies are not plain JSON, or need headers to be read."""

    def read_body(self, delivery: Delivery) -> Json | bytes:
        """What `elements` takes, of a verified delivery, or the JSON text of it. Raises InvalidInput."""
        ...


_USUAL = Traits()


def traits_of(kind: object) -> Traits:
    """The traits of a kind, which most do not state."""
    traits: Traits = getattr(kind, "TRAITS", _USUAL)
    return traits
