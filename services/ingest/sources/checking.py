"""What makes a source that somebody asks for a good one: checked alike for the API and the command."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from secrets import token_hex
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.ingest.domain.draft import is_event_type
from services.ingest.kinds.kind import Kind, Secret, Source, traits_of
from services.ingest.kinds.registry import KINDS
from shared.errors import InvalidInput

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_MOST_SECRETS = 2
_MOST_NAMES = 1_000


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """A source as somebody describes it."""

    id: str
    kind: str
    secrets: Sequence[str] = field(repr=False)
    public_url: str | None = None
    event_names: Mapping[str, str] = field(default_factory=dict)
    time_zone: str = "UTC"
    tolerance_seconds: int | None = None


def new_source(request: SourceRequest, *, workspace: str, now: datetime) -> Source:
    """The source of `request`. Raises InvalidInput naming the field that is wrong."""
    kind = _kind(request.kind)
    if _ID.fullmatch(request.id) is None:
        raise InvalidInput("must have lower-case letters, digits and - only", code="invalid", field="id")
    _check_secrets(kind, request.secrets)
    _check_public_url(kind, request.public_url)
    _check_event_names(request.event_names)
    _check_time_zone(request.time_zone)
    _check_tolerance(kind, request.tolerance_seconds)
    return Source(
        id=request.id,
        workspace=workspace,
        kind=request.kind,
        secrets=tuple(Secret(token_hex(4), secret.strip(), now) for secret in request.secrets),
        public_url=request.public_url,
        event_names=dict(request.event_names),
        time_zone=request.time_zone,
        tolerance_seconds=request.tolerance_seconds,
    )


def with_new_secret(source: Source, secret: str, *, now: datetime, keep_old: timedelta) -> Source:
    """`source` with a further secret, and the newest so far for `keep_old` longer. Raises InvalidInput.

    Two live at most: an exchange that begins before the last one is over ends that one.
    """
    _check_secret(_kind(source.kind), secret, "secret")
    newest = max(source.secrets, key=lambda one: one.created_at)
    ends = now + keep_old if newest.expires_at is None else min(newest.expires_at, now + keep_old)
    old = replace(newest, expires_at=ends)
    return replace(source, secrets=(old, Secret(token_hex(4), secret.strip(), now)))


@dataclass(frozen=True, slots=True)
class SourceChange:
    """What to change about a source; None leaves it. An engagement type of None takes its name away."""

    event_names: Mapping[str, str | None] = field(default_factory=dict)
    public_url: str | None = None
    time_zone: str | None = None


def changed_source(source: Source, change: SourceChange) -> Source:
    """`source` after `change`. Raises InvalidInput naming the field that is wrong."""
    names = {**source.event_names, **change.event_names}
    kept = {name: event_type for name, event_type in names.items() if event_type is not None}
    _check_event_names(kept)
    public_url = change.public_url or source.public_url
    _check_public_url(_kind(source.kind), public_url)
    time_zone = change.time_zone or source.time_zone
    _check_time_zone(time_zone)
    return replace(source, event_names=kept, public_url=public_url, time_zone=time_zone)


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise InvalidInput(f"must be one of {', '.join(KINDS)}", code="invalid", field="kind")
    return KINDS[name]


def _check_secrets(kind: Kind, secrets: Sequence[str]) -> None:
    if not 1 <= len(secrets) <= _MOST_SECRETS:
        raise InvalidInput("one secret is needed; two during a rotation", code="invalid", field="secrets")
    for index, secret in enumerate(secrets):
        _check_secret(kind, secret, f"secrets[{index}]")


def _check_secret(kind: Kind, secret: str, field_name: str) -> None:
    try:
        kind.check_secret(secret.strip())
    except InvalidInput as error:
        raise InvalidInput(str(error), code=error.code, field=field_name) from error


def _check_public_url(kind: Kind, url: str | None) -> None:
    if url is None:
        if kind.NEEDS_PUBLIC_URL:
            raise InvalidInput(f"{kind.NAME} signs the URL it calls: give it", code="missing", field="public_url")
        return
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidInput("is not a URL", code="invalid", field="public_url") from error
    if parts.scheme not in {"https", "http"} or not parts.hostname or len(url) > 2000 or not url.isascii():
        raise InvalidInput("must be a full URL: https://host/path", code="invalid", field="public_url")


def _check_event_names(names: Mapping[str, str]) -> None:
    if len(names) > _MOST_NAMES:
        raise InvalidInput(f"at most {_MOST_NAMES} names", code="invalid", field="event_names")
    for name, event_type in names.items():
        if not is_event_type(event_type):
            raise InvalidInput("must map to snake case", code="invalid", field=f"event_names.{name[:64]}")
        if not name or "\x00" in name or not name.isprintable():
            raise InvalidInput("a name is not printable", code="invalid", field="event_names")


def _check_tolerance(kind: Kind, seconds: int | None) -> None:
    longest = traits_of(kind).longest_tolerance_seconds
    if seconds is None:
        return
    if longest is None:
        raise InvalidInput(f"that of {kind.NAME} is fixed", code="invalid", field="tolerance_seconds")
    if not 1 <= seconds <= longest:
        raise InvalidInput(f"must be from 1 to {longest}", code="invalid", field="tolerance_seconds")


def _check_time_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput("must be an IANA zone such as Europe/Berlin", code="invalid", field="time_zone") from error
