"""What the benchmarks of scoring score: a model of 25 event rules, and events in the proportions of a real site."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from services.scorer.domain.events.event import Event
from shared.events.engagement import EngagementEvent, Identities

START = datetime(2026, 1, 5, tzinfo=UTC)

MODEL: Mapping[str, Any] = {
    "model": "benchmark",
    "scores": {
        "engagement": {
            "max": 100,
            "half_life": "14d",
            "groups": {"email": {"max": 15}, "web": {"max": 40}, "content": {"max": 25}, "product": {"max": 30}},
            "rules": [
                {
                    "id": "page",
                    "on": "page_viewed",
                    "if": {"not": {"properties.path": {"starts_with": "/careers"}}},
                    "points": 1,
                    "group": "web",
                    "limit": {"count": 5, "per": "day"},
                },
                {
                    "id": "pricing",
                    "on": "page_viewed",
                    "if": {"properties.path": {"starts_with": "/pricing"}},
                    "points": 6,
                    "group": "web",
                    "half_life": "7d",
                    "limit": {"count": 2, "per": "day"},
                },
                {
                    "id": "product_page",
                    "on": "page_viewed",
                    "if": {"properties.path": {"in": ["/product", "/product/tour", "/integrations", "/security"]}},
                    "points": 2,
                    "group": "web",
                },
                {
                    "id": "long_visit",
                    "on": "page_viewed",
                    "if": {"properties.duration_seconds": {"gte": 120}},
                    "points": 2,
                    "group": "web",
                    "limit": {"count": 1, "per": "hour"},
                },
                {
                    "id": "from_campaign",
                    "on": "page_viewed",
                    "if": {"properties.campaign.medium": {"in": ["cpc", "paid_social"]}},
                    "points": 1,
                    "group": "web",
                    "limit": {"count": 1, "per": "week", "by": "properties.campaign.name"},
                },
                {
                    "id": "docs",
                    "on": "page_viewed",
                    "if": {"all": [{"properties.path": {"starts_with": "/docs"}}, {"source": "web"}]},
                    "points": 2,
                    "half_life": "30d",
                    "group": "web",
                },
                {
                    "id": "careers",
                    "on": "page_viewed",
                    "if": {"properties.path": {"starts_with": "/careers"}},
                    "points": -8,
                    "limit": {"count": 1, "per": "week"},
                },
                {
                    "id": "opened",
                    "on": "email_opened",
                    "if": {"properties.machine": {"ne": True}},
                    "points": 1,
                    "group": "email",
                    "limit": {"count": 1, "per": "day"},
                },
                {
                    "id": "clicked",
                    "on": "email_clicked",
                    "if": {"properties.machine": {"ne": True}},
                    "points": 3,
                    "group": "email",
                    "limit": {"count": 2, "per": "day"},
                },
                {
                    "id": "clicked_offer",
                    "on": "email_clicked",
                    "if": {"properties.url": {"matches": "(?i)/(offer|quote|pricing)\\b"}},
                    "points": 5,
                    "group": "email",
                },
                {"id": "replied", "on": "email_replied", "points": 12, "half_life": "30d"},
                {
                    "id": "content",
                    "on": "content_downloaded",
                    "points": 6,
                    "group": "content",
                    "limit": {"count": 1, "per": "ever", "by": "properties.title"},
                },
                {
                    "id": "registered",
                    "on": "webinar_registered",
                    "points": 3,
                    "group": "content",
                    "limit": {"count": 1, "per": "ever", "by": "properties.webinar_id"},
                },
                {
                    "id": "attended",
                    "on": "webinar_attended",
                    "if": {"properties.minutes": {"gte": 15}},
                    "points": 12,
                    "group": "content",
                    "half_life": "none",
                    "expires_after": "90d",
                    "limit": {"count": 1, "per": "ever", "by": "properties.webinar_id"},
                },
                {"id": "form", "on": "form_submitted", "points": 6, "limit": {"count": 1, "per": "week"}},
                {
                    "id": "contact_form",
                    "on": "form_submitted",
                    "if": {"any": [{"properties.form": "contact"}, {"properties.message": {"contains": "demo"}}]},
                    "points": 10,
                    "half_life": "30d",
                },
                {"id": "demo", "on": "demo_requested", "points": 16, "half_life": "30d"},
                {"id": "meeting", "on": ["meeting_booked", "meeting_held"], "points": 10, "half_life": "30d"},
                {"id": "missed", "on": ["meeting_canceled", "meeting_no_show"], "points": -10},
                {
                    "id": "trial",
                    "on": "trial_started",
                    "points": 10,
                    "group": "product",
                    "limit": {"count": 1, "per": "ever"},
                },
                {
                    "id": "feature",
                    "on": "feature_used",
                    "points": 2,
                    "group": "product",
                    "limit": {"count": 3, "per": "day"},
                },
                {
                    "id": "key_feature",
                    "on": "feature_used",
                    "if": {"properties.feature": {"in": ["export", "api", "single_sign_on"]}},
                    "points": 4,
                    "group": "product",
                    "limit": {"count": 1, "per": "week", "by": "properties.feature"},
                },
                {
                    "id": "invited",
                    "on": "colleague_invited",
                    "points": 8,
                    "group": "product",
                    "limit": {"count": 2, "per": "ever"},
                },
                {
                    "id": "unsubscribed",
                    "on": ["unsubscribed", "spam_complaint"],
                    "points": -25,
                    "half_life": "none",
                    "limit": {"count": 1, "per": "ever"},
                },
                {
                    "id": "bounced",
                    "on": "bounced",
                    "if": {"properties.bounce_class": "hard"},
                    "points": -20,
                    "half_life": "none",
                    "expires_after": "90d",
                },
            ],
        },
        "fit": {
            "max": 100,
            "rules": [
                {
                    "id": "decides",
                    "if": {"attributes.job_title": {"matches": "(?i)\\b(chief|vp|head|director)\\b"}},
                    "points": 40,
                },
                {"id": "right_size", "if": {"attributes.employees": {"gte": 50, "lte": 5000}}, "points": 30},
                {"id": "home_market", "if": {"attributes.country": {"in": ["SE", "NO", "DK", "FI"]}}, "points": 15},
            ],
        },
        "total": {"combine": {"engagement": 0.7, "fit": 0.3}, "max": 100},
    },
    "bands": {
        "total": {"hot": 60, "warm": 35, "cold": 0},
        "engagement": {"1": 50, "2": 20, "3": 0},
        "fit": {"A": 70, "B": 30, "C": 0},
    },
    "grade": ["fit", "engagement"],
    "thresholds": {
        "hot": {"score": "total", "enter": 60, "exit": 45, "cooldown": "7d"},
        "mql": {"grade": ["A1", "A2", "B1"]},
    },
}

# The same 25 rules over one decaying score and one threshold, without groups, limits and half-lives of their own:
# what the floors of the scorer were measured for.
PLAIN_MODEL: Mapping[str, Any] = {
    "model": "plain",
    "scores": {
        "engagement": {
            "half_life": "14d",
            "rules": [
                {name: part for name, part in rule.items() if name in {"id", "on", "if", "points"}}
                for rule in MODEL["scores"]["engagement"]["rules"]
            ],
        },
    },
    "thresholds": {"hot": {"score": "engagement", "enter": 50, "exit": 50}},
}

# Of a thousand events of a company that sells software; `session_ended` is one that no rule is about.
_MIX: Mapping[str, int] = {
    "page_viewed": 520,
    "email_opened": 160,
    "feature_used": 110,
    "email_clicked": 70,
    "session_ended": 40,
    "form_submitted": 30,
    "content_downloaded": 20,
    "webinar_registered": 12,
    "webinar_attended": 8,
    "demo_requested": 8,
    "meeting_booked": 6,
    "bounced": 5,
    "unsubscribed": 4,
    "trial_started": 4,
    "email_replied": 3,
}
_PATHS = ("/", "/pricing", "/pricing/enterprise", "/product", "/product/tour", "/docs/start", "/blog/one", "/careers")
_CLICKED = ("/offer", "/blog", "/pricing")


def an_accepted_event(random: Random, number: int, *, spread: timedelta = timedelta(days=30)) -> EngagementEvent:
    """One event as ingest accepts it, at any moment of `spread` from `START` on."""
    (event_type,) = random.choices(list(_MIX), list(_MIX.values()))
    at = START + spread * random.random()
    return EngagementEvent(
        id=str(UUID(int=random.getrandbits(128))),
        source="web",
        type=event_type,
        native_type=None,
        occurred_at=at,
        received_at=at + timedelta(seconds=1),
        lead=Identities(email=f"lead.{number}@example.com", external_ids={}, anonymous_id=None),
        properties=properties(random, event_type),
        attributes=_attributes(random) if event_type == "form_submitted" else {},
    )


def an_event(random: Random, number: int) -> Event:
    """One event as the core sees it."""
    made = an_accepted_event(random, number)
    return Event(made.id, made.source, made.type, made.occurred_at, made.properties, made.attributes)


def properties(random: Random, event_type: str, *, clicked: Sequence[str] = _CLICKED) -> dict[str, Any]:
    """What an event of this type says; `clicked` is where an e-mail may lead."""
    match event_type:
        case "page_viewed":
            found: dict[str, Any] = {"path": random.choice(_PATHS), "referrer": "https://www.example.com/"}
            if random.random() < 0.6:
                found["duration_seconds"] = random.randrange(400)
            if random.random() < 0.2:
                found["campaign"] = {"name": f"c{random.randrange(5)}", "medium": random.choice(["cpc", "mail"])}
            return found
        case "email_opened":
            return {"campaign": "spring", "machine": random.random() < 0.3}
        case "email_clicked":
            path, campaign = random.choice(clicked), random.randrange(20)
            return {"url": f"https://example.com{path}?utm_campaign=c{campaign}", "machine": False}
        case "feature_used":
            return {"feature": random.choice(["search", "export", "api", "report"])}
        case "form_submitted":
            return {"form": random.choice(["contact", "newsletter"]), "message": "please call me"}
        case "content_downloaded":
            return {"title": f"Guide {random.randrange(8)}"}
        case "webinar_registered" | "webinar_attended":
            return {"webinar_id": random.randrange(6), "minutes": random.randrange(60)}
        case "bounced":
            return {"bounce_class": random.choice(["hard", "soft"])}
        case _:
            return {}


def _attributes(random: Random) -> dict[str, Any]:
    return {
        "job_title": random.choice(["Head of Operations", "Analyst", "VP Sales"]),
        "employees": random.randrange(10, 10_000),
        "country": random.choice(["SE", "NO", "US"]),
    }
