"""Builders of sources and deliveries, for the translators."""

from collections.abc import Mapping
from datetime import UTC, datetime

from services.ingest.kinds.kind import Delivery, Secret, Source
from tests.support.webhooks import Signed

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def a_source(
    kind: str,
    secret: str = "a secret",
    *,
    source_id: str | None = None,
    public_url: str | None = None,
    event_names: Mapping[str, str] | None = None,
    tolerance_seconds: int | None = None,
) -> Source:
    """A source of the workspace `default`; its id is its kind unless told otherwise."""
    return Source(
        id=source_id or kind,
        workspace="default",
        kind=kind,
        secrets=(Secret("s", secret, NOON),),
        public_url=public_url,
        event_names=event_names or {},
        tolerance_seconds=tolerance_seconds,
    )


def a_delivery(signed: Signed | None = None, *, received_at: datetime = NOON) -> Delivery:
    """`signed` as it arrives; without it, an empty request."""
    headers = {name.lower(): value for name, value in signed.headers.items()} if signed else {}
    if signed is None:
        return Delivery("POST", headers, b"", received_at)
    return Delivery("POST", headers, signed.body, received_at, signed.query)
