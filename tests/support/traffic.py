"""A day of everything that happens to leads, over and over the same for a seed."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

from services.scorer.leads.stored_leads import Contended
from services.scorer.service import Scorer
from shared.clock import ManualClock
from shared.db.reach import ALL_WORKSPACES
from shared.events.accepting import Accepted
from tests.support.messages import an_event

_TYPES = ["page_viewed"] * 8 + ["email_clicked"] * 6 + ["unsubscribed", "score_adjusted", "score_reset"]


def mixed_traffic(random: Random, *, leads: int, events: int, start: datetime, prefix: str = "") -> list[Accepted]:
    """Events of a day in the order in which they arrive: some late by weeks, some twice, some retracted, before
    or after they come; visitors who turn out to be known leads.
    """
    made = [_event(random, f"{prefix}e{number:05}", leads, start) for number in range(events)]
    retractions = [_retraction(message) for message in made if random.random() < 0.04]
    arriving = [*made, *retractions, *random.sample(made, events // 10)]
    random.shuffle(arriving)
    return arriving


async def play(scorer: Scorer, clock: ManualClock, random: Random, messages: Sequence[Accepted]) -> None:
    """Count in batches of any size, while time passes and is told."""
    for batch in _batches(random, messages):
        clock.advance(timedelta(minutes=random.randint(1, 40)))
        while True:
            try:
                await scorer.count(batch, reach=ALL_WORKSPACES)
                break
            except Contended:
                continue
        while await scorer.tell_what_time_did(50):
            pass


def _batches(random: Random, messages: Sequence[Accepted]) -> Iterator[list[Accepted]]:
    rest = list(messages)
    while rest:
        size = random.choice([1, 3, 10, 40])
        yield rest[:size]
        rest = rest[size:]


def _event(random: Random, id_: str, leads: int, start: datetime) -> Accepted:
    late = timedelta(days=random.choice([0] * 8 + [1, 6, 20]))
    at = start - late + timedelta(seconds=random.randint(0, 86_400))
    event_type = random.choice(_TYPES)
    return an_event(
        id_,
        event_type,
        at=at,
        received=start + timedelta(days=1),
        source="web",
        properties=_properties(random, event_type),
        attributes=random.choice([{}, {}, {"size": random.choice([10, 50, "50"]), "country": "US"}]),
        **_who(random, leads),
    )


def _who(random: Random, leads: int) -> dict[str, Any]:
    number = random.randrange(leads)
    email, visitor = f"lead{number}@acme.example", f"visitor{random.randrange(leads)}"
    if random.random() < 0.3:
        return {"anonymous_id": visitor}
    return {"email": email, "anonymous_id": visitor} if random.random() < 0.03 else {"email": email}


def _properties(random: Random, event_type: str) -> dict[str, Any]:
    match event_type:
        case "score_adjusted":
            points = random.choice([-7.5, 5, 12])
            return {"score": "engagement", "points": points, "reason": "met", "actor": "eve", "half_life": "3d"}
        case "score_reset":
            return {"score": "engagement"}
        case _:
            return {"path": random.choice(["/", "/pricing", "/blog"])}


def _retraction(message: Accepted) -> Accepted:
    lead = message.data.lead
    return an_event(
        f"void-{message.data.id}",
        "event_voided",
        at=message.data.received_at,
        source="web",
        email=lead.email,
        anonymous_id=lead.anonymous_id,
        properties={"event_id": message.data.id},
    )
