"""What happens in every scenario: a model in which any lost or doubled event shows, and seeded events for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tests.faults.ledger import Event

TYPES = ("page_viewed", "email_clicked", "webinar_attended", "chat_message", "unsubscribed", "form_submitted")
_WEIGHTS = (8, 5, 2, 3, 1, 2)
# Of `buzz` a lead loses half in two seconds, so that thresholds are crossed by time alone while things break.
MODEL: dict[str, Any] = {
    "model": "faults",
    "scores": {
        "count": {"rules": [{"id": "each", "on": list(TYPES), "points": 1}]},
        "engagement": {
            "max": 100,
            "half_life": "14d",
            "groups": {"email": {"max": 30}, "web": {"max": 50}},
            "rules": [
                {"id": "page", "on": "page_viewed", "points": 1, "group": "web"},
                {
                    "id": "pricing",
                    "on": "page_viewed",
                    "if": {"properties.path": {"starts_with": "/pricing"}},
                    "points": 10,
                    "group": "web",
                    "half_life": "7d",
                },
                {
                    "id": "click",
                    "on": "email_clicked",
                    "points": 5,
                    "group": "email",
                    "limit": {"count": 3, "per": "day"},
                },
                {
                    "id": "webinar",
                    "on": "webinar_attended",
                    "points": 20,
                    "half_life": "none",
                    "expires_after": "90d",
                    "limit": {"count": 1, "per": "ever", "by": "properties.webinar"},
                },
                {
                    "id": "unsubscribed",
                    "on": "unsubscribed",
                    "points": -25,
                    "half_life": "none",
                    "limit": {"count": 1, "per": "ever"},
                },
            ],
        },
        "buzz": {"half_life": "2s", "rules": [{"id": "chat", "on": "chat_message", "points": 10}]},
        "fit": {
            "max": 100,
            "rules": [
                {"id": "chief", "if": {"attributes.title": {"in": ["CEO", "CTO"]}}, "points": 40},
                {"id": "size", "if": {"attributes.employees": {"gte": 50, "lte": 5000}}, "points": 30},
            ],
        },
        "total": {"combine": {"engagement": 0.6, "fit": 0.4}, "max": 100},
    },
    "bands": {"total": {"hot": 40, "warm": 20, "cold": 0}, "engagement": {"1": 60, "2": 30, "3": 0}},
    "thresholds": {
        "hot": {"score": "total", "enter": 30, "exit": 20},
        "loud": {"score": "buzz", "enter": 8, "exit": 4},
        "regular": {"score": "count", "enter": 3},
    },
}
PIPELINE: dict[str, Any] = {
    "pipeline": "faults",
    "stages": [
        {"id": "new", "initial": True},
        {"id": "engaged", "enter_when": {"threshold": "regular"}},
        {"id": "mql", "enter_when": {"threshold": "hot"}},
    ],
}


@dataclass(frozen=True, slots=True)
class Size:
    """How much is sent."""

    events: int
    leads: int


def events(random: Random, size: Size, *, prefix: str = "") -> Iterator[Event]:
    """`size.events` events of `size.leads` leads; the same for the same random, but for the present moment.

    Half of them happened just now, the others up to ten minutes ago, so that they come out of order.
    """
    for number in range(size.events):
        type_ = random.choices(TYPES, _WEIGHTS)[0]
        happened_ago = 0.0 if type_ == "chat_message" or random.random() < 0.5 else random.uniform(0, 600)
        yield {
            "id": f"{prefix}{number:06d}",
            "source": "web",
            "type": type_,
            "occurred_at": (datetime.now(UTC) - timedelta(seconds=happened_ago)).isoformat(),
            "lead": {"email": f"lead{random.randrange(size.leads)}@acme.example"},
            "properties": _properties(random, type_),
            "attributes": _attributes(random),
        }


def _properties(random: Random, type_: str) -> dict[str, Any]:
    if type_ == "webinar_attended":
        return {"webinar": random.choice(["scoring", "pipelines", "exactness"])}
    return {"path": random.choice(["/", "/pricing", "/pricing/teams", "/blog"])}


def _attributes(random: Random) -> dict[str, Any]:
    if random.random() < 0.7:
        return {}
    return {"title": random.choice(["CEO", "CTO", "Clerk"]), "employees": random.choice([5, 120, 9000])}
