"""Signed requests: believed by leadflow's own sources, and by nobody when they are forged."""

from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from services.demo.diary import Channel
from services.demo.installation import forgers_keys, new_secrets, public_half
from services.demo.posting import Flaw, Post
from services.demo.webhooks import HUBSPOT_URL, SOURCES, Request, SigningKeys, request_of
from services.ingest.kinds.kind import Delivery, NotVerified, Secret, Source
from services.ingest.kinds.registry import KINDS
from tests.unit.demo.stories import the_posts

NOW = datetime.now(UTC)
KEYS = SigningKeys(new_secrets(), api_key="lf_test")
FORGER = forgers_keys()


def the_request(post: Post, now: datetime = NOW) -> Request:
    return request_of(post, keys=KEYS, forger=FORGER, now=now)


def verify(post: Post, request: Request) -> None:
    secret = KEYS.secrets[post.channel]
    known = public_half(secret) if post.channel is Channel.MAIL else secret
    source = Source(post.channel.value, "default", post.channel.value, (Secret("s", known, NOW),), HUBSPOT_URL)
    headers = {name.lower(): value for name, value in request.headers.items()}
    KINDS[post.channel.value].verify(Delivery("POST", headers, request.body, NOW), source)


@pytest.mark.parametrize("channel", SOURCES)
def test_what_a_platform_signs_is_verified(channel: Channel) -> None:
    posts = [post for post in the_posts() if post.channel is channel and post.flaw in {None, Flaw.CUT_SHORT}]

    for post in posts:
        verify(post, the_request(post))


@pytest.mark.parametrize("flaw", [Flaw.FORGED, Flaw.STALE])
def test_what_is_forged_or_replayed_is_not(flaw: Flaw) -> None:
    posts = [post for post in the_posts() if post.flaw is flaw and post.channel in SOURCES]

    assert posts
    for post in posts:
        with pytest.raises(NotVerified):
            verify(post, the_request(post))


def test_the_products_webhooks_are_verified_by_the_standard_library_of_them() -> None:
    post = next(post for post in the_posts() if post.channel is Channel.PRODUCT and post.flaw is None)
    request = the_request(post, datetime.now(UTC))  # the library has no clock but the machine's

    Webhook(KEYS.secrets[Channel.PRODUCT]).verify(request.body, dict(request.headers))


def test_two_attempts_differ_in_their_signatures_and_not_in_a_byte_of_the_body() -> None:
    post = next(post for post in the_posts() if post.channel is Channel.MEETING)

    one, other = the_request(post), the_request(post, NOW + timedelta(seconds=30))

    assert one.body == other.body
    assert one.headers != other.headers


def test_batches_of_the_events_api_say_what_they_are() -> None:
    types = {post.channel: the_request(post).headers["Content-Type"] for post in the_posts()}

    assert types[Channel.IMPORT] == "application/x-ndjson"
    assert types[Channel.WEBINAR] == "application/cloudevents-batch+json"
    assert types[Channel.API] == "application/json"


def test_an_unknown_source_has_another_path() -> None:
    paths = {the_request(post).path for post in the_posts() if post.flaw is Flaw.UNKNOWN_SOURCE}

    assert paths == {f"/v1/webhooks/{kind}-of-nobody" for kind in ("typeform", "segment", "standardwebhooks")}
