"""What every kind of source promises."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.ingest.kinds.kind import NotVerified, Secret, Source
from services.ingest.kinds.registry import KINDS
from tests.support.deliveries import NOON, a_delivery, a_source
from tests.support.webhooks import Signed, examples

EXAMPLES = examples(NOON)


def source_of(signed: Signed) -> Source:
    return a_source(signed.kind, signed.secret, public_url=signed.public_url)


def test_every_kind_has_an_example_here() -> None:
    assert set(EXAMPLES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_platform_signed_is_verified(kind: str) -> None:
    KINDS[kind].verify(a_delivery(EXAMPLES[kind]), source_of(EXAMPLES[kind]))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if EXAMPLES[kind].covers_body])
@pytest.mark.parametrize("place", [0, 1, 20, -3])
def test_a_flipped_bit_of_the_body_is_noticed(kind: str, place: int) -> None:
    delivery = a_delivery(EXAMPLES[kind])
    body = bytearray(delivery.body)
    body[place] ^= 1

    with pytest.raises(NotVerified):
        KINDS[kind].verify(replace(delivery, body=bytes(body)), source_of(EXAMPLES[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_secret_in_its_url_counts(kind: str) -> None:
    delivery = a_delivery(EXAMPLES[kind])

    if delivery.query:
        with pytest.raises(NotVerified):
            KINDS[kind].verify(replace(delivery, query=delivery.query[:-1]), source_of(EXAMPLES[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_each_of_its_headers_counts(kind: str) -> None:
    delivery = a_delivery(EXAMPLES[kind])

    for name in delivery.headers:
        others = {other: value for other, value in delivery.headers.items() if other != name}
        with pytest.raises(NotVerified):
            KINDS[kind].verify(replace(delivery, headers=others), source_of(EXAMPLES[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_secret_of_another_or_an_expired_one_or_none_does_not_verify(kind: str) -> None:
    source = source_of(EXAMPLES[kind])
    secret = source.secrets[0]
    other = Secret("o", _other_secret(kind), NOON)

    for secrets in ((), (other,), (replace(secret, expires_at=NOON),)):
        with pytest.raises(NotVerified):
            KINDS[kind].verify(a_delivery(EXAMPLES[kind]), replace(source, secrets=secrets))
    still_good = replace(secret, expires_at=NOON + timedelta(seconds=1))
    KINDS[kind].verify(a_delivery(EXAMPLES[kind]), replace(source, secrets=(other, still_good)))


@pytest.mark.parametrize("kind", KINDS)
def test_its_own_secret_is_a_possible_one(kind: str) -> None:
    KINDS[kind].check_secret(EXAMPLES[kind].secret)


def _other_secret(kind: str) -> str:
    if kind == "sendgrid":
        return (
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp"
            "/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q=="
        )
    return "whsec_b3RoZXJvdGhlcm90aGVy" if kind == "standardwebhooks" else "the secret of another"
