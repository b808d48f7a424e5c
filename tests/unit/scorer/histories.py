"""Random histories over one model that uses everything: for laws that must hold whatever happens."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from services.scorer.domain.models.document import parse_model

START = datetime(2026, 2, 26, tzinfo=UTC)
SPAN_MINUTES = 60 * 24 * 21

MODEL_DOCUMENT: dict[str, Any] = {
    "model": "everything",
    "scores": {
        "engagement": {
            "max": 100,
            "half_life": "7d",
            "groups": {"web": {"max": 25, "min": -5}, "mail": {"max": 12}},
            "rules": [
                {"id": "free", "on": "page_viewed", "points": 3, "group": "web"},
                {
                    "id": "daily",
                    "on": "email_clicked",
                    "points": 5,
                    "group": "mail",
                    "limit": {"count": 2, "per": "day"},
                },
                {
                    "id": "hourly",
                    "on": ["page_viewed", "email_clicked"],
                    "points": 1,
                    "half_life": "1h",
                    "limit": {"count": 1, "per": "hour"},
                },
                {
                    "id": "weekly",
                    "on": "page_viewed",
                    "points": 2.5,
                    "half_life": "none",
                    "expires_after": "1w",
                    "limit": {"count": 2, "per": "week", "by": "properties.path"},
                },
                {
                    "id": "once",
                    "on": "unsubscribed",
                    "points": -20,
                    "half_life": "3d",
                    "limit": {"count": 1, "per": "ever"},
                },
                {
                    "id": "monthly",
                    "on": "unsubscribed",
                    "points": -1,
                    "half_life": "none",
                    "limit": {"count": 1, "per": "month"},
                },
                {
                    "id": "pricing",
                    "on": "page_viewed",
                    "if": {"properties.path": "/pricing"},
                    "points": 8,
                    "expires_after": "3d",
                },
            ],
        },
        "fit": {
            "rules": [
                {"id": "large", "if": {"attributes.size": {"gte": 50}}, "points": 40},
                {"id": "known", "if": {"attributes.size": {"exists": True}}, "points": 5},
                {"id": "here", "if": {"not": {"attributes.country": "US"}}, "points": 10},
            ],
        },
        "total": {"combine": {"engagement": 0.6, "fit": 0.4}, "max": 45},
    },
    "bands": {
        "total": {"hot": 30, "warm": 15, "cold": 0},
        "engagement": {"1": 30, "2": 10, "3": 0},
        "fit": {"A": 40, "B": 0},
    },
    "grade": ["fit", "engagement"],
    "thresholds": {"hot": {"score": "total", "enter": 28, "exit": 20}, "top": {"grade": ["A1", "A2"]}},
}
MODEL = parse_model(MODEL_DOCUMENT)

_minutes = st.integers(0, SPAN_MINUTES)
_types = st.sampled_from(
    ["page_viewed"] * 4 + ["email_clicked"] * 3 + ["unsubscribed", "score_adjusted", "score_reset", "event_voided"]
)


@st.composite
def histories(draw: st.DrawFn, max_size: int = 24) -> list[dict[str, Any]]:
    """Different events of one lead in wire form, in any order; retractions hit some of them."""
    types = draw(st.lists(_types, max_size=max_size))
    return [_event(draw, number, event_type, len(types)) for number, event_type in enumerate(types)]


def moments() -> st.SearchStrategy[datetime]:
    """Moments from before the first event to long after the last."""
    return st.integers(-60, SPAN_MINUTES * 3).map(lambda minutes: START + timedelta(minutes=minutes, seconds=7))


def _event(draw: st.DrawFn, number: int, event_type: str, count: int) -> dict[str, Any]:
    occurred = START + timedelta(minutes=draw(_minutes))
    event = {
        "id": f"e{number:02}",
        "source": "web",
        "type": event_type,
        "occurred_at": occurred.isoformat(),
        "properties": _properties(draw, event_type, count),
    }
    if draw(st.booleans()):
        sizes = st.sampled_from([10, 50, "50", None])
        event["attributes"] = draw(st.fixed_dictionaries({}, optional={"size": sizes, "country": st.just("US")}))
    return event


def _properties(draw: st.DrawFn, event_type: str, count: int) -> dict[str, Any]:
    match event_type:
        case "score_adjusted":
            optional = {"half_life": st.just("2d"), "expires_after": st.just("2d")}
            points = st.integers(-20, 20)
            given = draw(st.fixed_dictionaries({"points": points}, optional=optional))
            return {"score": draw(st.sampled_from(["engagement", "fit"])), "reason": "r", "actor": "a", **given}
        case "score_reset":
            return {"score": "engagement"}
        case "event_voided":
            return {"event_id": f"e{draw(st.integers(0, count)):02}"}
        case _:
            return draw(st.fixed_dictionaries({}, optional={"path": st.sampled_from(["/pricing", "/blog", 1, 1.0])}))
