"""The demo's receiver believes what is signed, counts it once, and notices what is missing."""

import base64
import json
from datetime import UTC, datetime

from standardwebhooks import Webhook

from services.demo.subscriber import Subscriber

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"o" * 32).decode()


def a_subscriber() -> Subscriber:
    subscriber = Subscriber()
    subscriber.secret = SECRET
    return subscriber


def a_delivery(
    sequence: int = 1, kind: str = "lead.stage_changed", lead: str = "lead-1", *, secret: str = SECRET
) -> tuple[dict[str, str], bytes]:
    message_id, now = f"{kind}-{lead}-{sequence}", datetime.now(UTC)
    body = json.dumps({"type": kind, "subject": lead, "data": {"sequence": sequence}}).encode()
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, body.decode()),
    }
    return headers, body


def test_a_signed_delivery_counts_by_its_type() -> None:
    subscriber = a_subscriber()

    assert subscriber.receive(*a_delivery(kind="lead.merged")) == 204
    assert subscriber.verified == {"lead.merged": 1}


def test_a_delivery_of_another_key_is_refused_and_counted_as_failed() -> None:
    subscriber = a_subscriber()

    assert subscriber.receive(*a_delivery(secret=OTHER_SECRET)) == 401
    assert (subscriber.failed, subscriber.verified.total()) == (1, 0)


def test_a_delivery_without_headers_or_of_another_body_is_refused() -> None:
    subscriber = a_subscriber()
    headers, body = a_delivery()

    assert subscriber.receive({}, body) == 401
    assert subscriber.receive(headers, body + b" ") == 401


def test_before_it_knows_its_secret_it_asks_to_be_told_again() -> None:
    assert Subscriber().receive(*a_delivery()) == 503


def test_a_repeated_delivery_counts_once() -> None:
    subscriber = a_subscriber()
    delivery = a_delivery()

    subscriber.receive(*delivery)
    subscriber.receive(*delivery)

    assert (subscriber.verified.total(), subscriber.repeated) == (1, 1)


def test_a_gap_in_the_sequence_of_a_lead_is_a_lost_message() -> None:
    subscriber = a_subscriber()

    subscriber.receive(*a_delivery(1))
    subscriber.receive(*a_delivery(4))
    subscriber.receive(*a_delivery(1, lead="lead-2"))
    assert subscriber.lost == 2

    subscriber.receive(*a_delivery(3))
    subscriber.receive(*a_delivery(2, kind="lead.stalled"))
    assert subscriber.lost == 0


def test_thresholds_and_stages_are_counted_apart() -> None:
    subscriber = a_subscriber()

    subscriber.receive(*a_delivery(1, kind="lead.threshold_entered"))
    subscriber.receive(*a_delivery(3, kind="lead.stage_changed"))

    assert subscriber.lost == 0


def test_counting_from_here_forgets_counts_and_keeps_sequences() -> None:
    subscriber = a_subscriber()
    subscriber.receive(*a_delivery(1))

    subscriber.count_from_here()
    subscriber.receive(*a_delivery(3))

    assert (subscriber.verified.total(), subscriber.lost) == (1, 1)
