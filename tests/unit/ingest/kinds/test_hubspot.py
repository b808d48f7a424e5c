"""HubSpot's three signatures: what each is over, and which of them counts."""

import hashlib
from dataclasses import replace

import pytest

from services.ingest.kinds import hubspot
from services.ingest.kinds.kind import Delivery, NotVerified, Source
from tests.support import webhooks
from tests.support.deliveries import NOON, a_delivery, a_source
from tests.support.webhooks import HUBSPOT_URL, TEXT_SECRET

BODY = b'[{"eventId":1}]'


def source(**changes: str) -> Source:
    return replace(a_source("hubspot", TEXT_SECRET, public_url=HUBSPOT_URL), **changes)  # type: ignore[arg-type]


def plain(version: str, signed: bytes, *, method: str = "POST", body: bytes = BODY) -> Delivery:
    """A request with a signature of version 1 or 2 over `signed`."""
    headers = {
        "x-hubspot-signature": hashlib.sha256(signed).hexdigest(),
        "x-hubspot-signature-version": version,
    }
    return Delivery(method, headers, body, NOON)


V1 = plain("v1", TEXT_SECRET.encode() + BODY)
V2 = plain("v2", f"{TEXT_SECRET}POST{HUBSPOT_URL}".encode() + BODY)
V2_GET = plain("v2", f"{TEXT_SECRET}GET{HUBSPOT_URL}".encode(), method="GET", body=b"")


@pytest.mark.parametrize("delivery", [V1, V2, V2_GET], ids=["v1", "v2", "v2 of a GET"])
def test_the_older_signatures_verify(delivery: Delivery) -> None:
    hubspot.verify(delivery, source())


@pytest.mark.parametrize("delivery", [V1, V2], ids=["v1", "v2"])
def test_they_are_over_the_body_under_the_secret(delivery: Delivery) -> None:
    for forged in (replace(delivery, body=BODY + b" "), replace(delivery, headers={})):
        with pytest.raises(NotVerified):
            hubspot.verify(forged, source())
    with pytest.raises(NotVerified):
        hubspot.verify(delivery, a_source("hubspot", "the secret of another", public_url=HUBSPOT_URL))


@pytest.mark.parametrize(
    ("delivery", "url"),
    [(replace(V2, method="PUT"), HUBSPOT_URL), (V2, HUBSPOT_URL + "&c=1"), (V2_GET, "https://x/")],
)
def test_version_2_is_over_the_method_and_the_url_too(delivery: Delivery, url: str) -> None:
    with pytest.raises(NotVerified):
        hubspot.verify(delivery, source(public_url=url))


@pytest.mark.parametrize("version", ["", "v3", "v4", "v2"])
def test_a_signature_is_of_the_version_that_it_says(version: str) -> None:
    headers = {**V1.headers, "x-hubspot-signature-version": version}

    with pytest.raises(NotVerified):
        hubspot.verify(replace(V1, headers=headers), source())


def test_where_version_3_came_it_alone_counts() -> None:
    third = a_delivery(webhooks.hubspot([], NOON))
    first = plain("v1", TEXT_SECRET.encode() + third.body)

    hubspot.verify(replace(third, headers={**third.headers, **first.headers, "x-hubspot-signature": "00"}), source())
    spoilt = {**third.headers, **first.headers, "x-hubspot-request-timestamp": "1"}
    with pytest.raises(NotVerified):
        hubspot.verify(replace(third, headers=spoilt), source())
