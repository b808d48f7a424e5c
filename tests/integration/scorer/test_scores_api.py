"""Questions about single leads, and corrections, over HTTP on real PostgreSQL."""

from datetime import datetime, timedelta
from math import fsum
from typing import Any
from uuid import uuid4

import pytest
from msgspec import to_builtins

from shared.access import Scope
from shared.events.curve import published
from shared.events.json import Json
from tests.integration.scorer.conftest import ScoresHarness
from tests.support.messages import NOON, an_event
from tests.support.oracle import scores_from_scratch

pytestmark = pytest.mark.postgres

MODEL: dict[str, Any] = {
    "model": "test",
    "scores": {
        "engagement": {
            "max": 60,
            "groups": {"web": {"max": 40}},
            "rules": [
                {
                    "id": "pricing",
                    "description": "Visited the pricing page",
                    "on": "page_viewed",
                    "if": {"properties.path": {"starts_with": "/pricing"}},
                    "points": 10,
                    "half_life": "7d",
                    "group": "web",
                },
                {
                    "id": "form",
                    "on": "form_submitted",
                    "points": 15,
                    "limit": {"count": 1, "per": "day"},
                    "expires_after": "90d",
                },
            ],
        },
        "fit": {"rules": [{"id": "boss", "if": {"attributes.title": "boss"}, "points": 30}]},
        "total": {"combine": {"engagement": 1, "fit": 0.5}, "max": 100},
    },
    "bands": {"total": {"hot": 50, "warm": 20, "cold": 0}},
    "thresholds": {"mql": {"score": "total", "enter": 45, "exit": 30}},
}
PRICING: Json = {"path": "/pricing"}
PERSON = {"actor": "anna", "reason": "called"}


@pytest.fixture
async def bench(scores: ScoresHarness) -> ScoresHarness:
    await scores.publish(MODEL)
    return scores


def a_visit(name: str, at: datetime, **more: Any) -> Any:
    return an_event(name, at=at, received=at, properties={"path": "/pricing"}, **more)


def on_the_wire(message: Any) -> dict[str, Any]:
    event: dict[str, Any] = to_builtins(message.data)
    return event


async def test_the_entries_of_the_ledger_add_up_and_are_told_in_words(bench: ScoresHarness) -> None:
    await bench.count(*(a_visit(f"v{day}", NOON - timedelta(days=day)) for day in range(3)))
    await bench.count(an_event("f1", "form_submitted", at=NOON - timedelta(hours=3), attributes={"title": "boss"}))
    await bench.count(an_event("f2", "form_submitted", at=NOON - timedelta(hours=2)))

    found = await bench.get(f"{await bench.lead()}")

    for score, entries in found["ledger"].items():
        assert published(fsum(entry["worth"] for entry in entries)) == found["scores"][score]
    words = [entry["words"] for entry in found["ledger"]["engagement"]]
    assert words == [
        "Visited the pricing page 3 times in the last 2 days: +27.26, halves every 7 days",
        "Form 3 hours ago: +15, ends on 31 August 2026; 1 more did not count (at most 1 per day)",
    ]
    withheld = found["ledger"]["engagement"][1]
    assert (withheld["withheld"], withheld["withheld_worth"], withheld["latest"]["id"]) == (1, 15, "f1")
    assert found["thresholds"]["mql"]["position"] == "reached"


async def test_a_past_moment_that_was_folded_away_is_computed_from_stored_events(bench: ScoresHarness) -> None:
    events = [a_visit(f"v{hour}", NOON - timedelta(hours=12 * hour)) for hour in range(120)]
    await bench.count(*events)
    path = f"{await bench.lead()}"

    for days in (1, 20, 55, 70):
        at = NOON - timedelta(days=days)
        found = await bench.get(path, at=at.isoformat())
        expected = scores_from_scratch(MODEL, [on_the_wire(event) for event in events], at)
        assert found["scores"] == {name: published(value) for name, value in expected.items()}


async def test_a_past_moment_is_told_as_it_is_known_today(bench: ScoresHarness) -> None:
    await bench.count(a_visit("v1", NOON - timedelta(days=9)))
    late = an_event("v2", at=NOON - timedelta(days=8), received=NOON, properties={"path": "/pricing"})
    await bench.count(late)

    found = await bench.get(f"{await bench.lead()}", at=(NOON - timedelta(days=8)).isoformat())

    assert found["scores"]["engagement"] == published(10 + 10 * 2 ** (-1 / 7))


async def test_the_curve_goes_through_every_explained_moment(bench: ScoresHarness) -> None:
    await bench.count(*(a_visit(f"v{day}", NOON - timedelta(days=3 * day)) for day in range(6)))
    path = f"{await bench.lead()}"
    stretch = {"from": (NOON - timedelta(days=20)).isoformat(), "until": (NOON + timedelta(days=20)).isoformat()}

    found = await bench.get(f"{path}/curve", points=9, **stretch)

    assert len(found["points"]) == 9
    for point in found["points"]:
        explained = await bench.get(path, at=point["at"])
        assert point == {"at": explained["at"]} | {key: explained[key] for key in ("scores", "bands", "grade")}


async def test_the_forecast_tells_when_a_silent_lead_leaves_its_band(bench: ScoresHarness) -> None:
    await bench.count(*(a_visit(f"v{number}", NOON) for number in range(3)))
    path = f"{await bench.lead()}"

    found = await bench.get(f"{path}/forecast", points=4)

    assert found["bands"]["total"]["band"] == "warm"
    leaves = datetime.fromisoformat(found["bands"]["total"]["leaves_at"])
    assert (
        [change["bands"]["total"] for change in found["changes"]][-1] == found["bands"]["total"]["becomes"] == "cold"
    )
    before = await bench.get(path, at=(leaves - timedelta(microseconds=1)).isoformat())
    after = await bench.get(path, at=leaves.isoformat())
    assert (before["bands"]["total"], after["bands"]["total"]) == ("warm", "cold")
    assert len(found["points"]) == 4


async def test_what_would_lift_the_lead_does_lift_it(bench: ScoresHarness) -> None:
    await bench.count(a_visit("v1", NOON))
    lead = await bench.lead()

    found = await bench.get(f"{lead}/lift")

    goal = found["goals"][0]
    assert (goal["kind"], goal["name"], goal["at_least"]) == ("band", "warm", 20)
    way = goal["ways"][0]
    (step,) = way["steps"]
    for number in range(step["count"]):
        example = step["example"]
        await bench.count(an_event(f"lifted{number}", example["type"], properties=example.get("properties"), at=NOON))
    after = await bench.get(f"{lead}")
    assert after["bands"]["total"] == "warm"
    assert after["scores"] == way["becomes"]["scores"]
    assert way["events"] == 1


async def test_an_adjustment_counts_at_once_and_once_per_key(bench: ScoresHarness) -> None:
    await bench.count(a_visit("v1", NOON))
    client, lead = await bench.client(), await bench.lead()
    wish = {"score": "engagement", "points": 12.5, "half_life": "14d", **PERSON}

    first = await client.post(f"/v1/scores/{lead}/adjustments", json=wish, headers={"Idempotency-Key": "k1"})
    bench.clock.advance(timedelta(hours=1))
    again = await client.post(f"/v1/scores/{lead}/adjustments", json=wish, headers={"Idempotency-Key": "k1"})
    other = {**wish, "points": 1}
    conflict = await client.post(f"/v1/scores/{lead}/adjustments", json=other, headers={"Idempotency-Key": "k1"})

    assert (first.status_code, first.json()["repeated"], first.json()["scores"]["engagement"]) == (201, False, 22.5)
    assert (again.status_code, again.json()["repeated"]) == (201, True)
    assert (conflict.status_code, conflict.json()["code"]) == (409, "conflict")
    entry = first.json()["ledger"]["engagement"][0]
    assert (entry["kind"], entry["worth"]) == ("adjustment", 12.5)
    assert entry["words"] == "Adjusted by hand: called (anna), just now: +12.5, halves every 14 days"
    assert await bench.rows("SELECT count(*) FROM scorer.event") == [(2,)]


async def test_a_reset_and_a_retraction_take_back_what_was(bench: ScoresHarness) -> None:
    await bench.count(a_visit("v1", NOON), a_visit("v2", NOON, source="web"))
    client, lead = await bench.client(), await bench.lead()

    retracted = await client.post(
        f"/v1/scores/{lead}/retractions", json={"source": "web", "event_id": "v2", **PERSON}
    )
    twice = await client.post(f"/v1/scores/{lead}/retractions", json={"source": "web", "event_id": "v2", **PERSON})
    reset = await client.post(f"/v1/scores/{lead}/resets", json={"score": "engagement", **PERSON})

    assert (retracted.status_code, retracted.json()["scores"]["engagement"]) == (201, 10)
    assert (twice.status_code, twice.json()["code"]) == (409, "already_retracted")
    assert (reset.status_code, reset.json()["scores"]["engagement"]) == (201, 0)
    listed = (await bench.get(f"{lead}/events"))["events"]
    assert {event["id"]: event["counts"] for event in listed if event["type"] == "page_viewed"} == {
        "v1": True,
        "v2": False,
    }
    (visit,) = [event for event in listed if event["id"] == "v1"]
    assert visit["rules"] == [{"score": "engagement", "rule": "pricing", "fate": "over", "worth": 0.0}]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("adjustments", {"score": "nonsense", "points": 1}, "score"),
        ("adjustments", {"score": "total", "points": 1}, "score"),
        ("adjustments", {"score": "fit", "points": 1, "half_life": "soon"}, "half_life"),
        ("adjustments", {"score": "fit", "points": 1, "expires_after": "2h"}, "expires_after"),
        (
            "adjustments",
            {"score": "fit", "points": 1, "expires_after": "2d", "occurred_at": "2026-01-01T00:00:00Z"},
            "expires_after",
        ),
        ("adjustments", {"score": "fit", "points": "NaN"}, "points"),
        ("resets", {"score": "fit"}, "score"),
        ("resets", {"score": "a\x00b"}, "score"),
    ],
)
async def test_what_would_have_no_effect_is_refused_with_its_place(
    bench: ScoresHarness, path: str, body: dict[str, Any], field: str
) -> None:
    await bench.count(a_visit("v1", NOON))

    answer = await (await bench.client()).post(f"/v1/scores/{await bench.lead()}/{path}", json={**body, **PERSON})

    assert answer.status_code == 422
    assert field in {error["field"] for error in answer.json()["errors"]}
    assert await bench.rows("SELECT count(*) FROM scorer.event") == [(1,)]


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("at=2026-03-02", ""),
        ("at=2026-03-02T10:00:00", ""),
        ("at=2026-03-02T10:00:00+01:00", "; in a URL, + is written %2B"),
    ],
    ids=["a day", "no zone", "a plus that the URL made a blank"],
)
async def test_a_moment_without_a_zone_is_refused_and_a_bare_plus_is_named(
    bench: ScoresHarness, query: str, hint: str
) -> None:
    await bench.count(a_visit("v1", NOON))

    answer = await (await bench.client()).get(f"/v1/scores/{await bench.lead()}?{query}")

    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["field"] == "query.at"
    assert fault["message"].endswith(f"must be a time with its zone, 2026-03-02T10:00:00Z{hint}")


async def test_nobody_sees_or_changes_leads_of_another_workspace_or_without_the_scope(bench: ScoresHarness) -> None:
    await bench.count(a_visit("v1", NOON))
    lead = await bench.lead()
    stranger = await bench.client(workspace="other")
    reader = await bench.client(Scope.LEADS_READ)
    wish = {"score": "engagement", "points": 1, **PERSON}

    for path in ("", "/forecast", "/curve", "/lift", "/events"):
        assert (await stranger.get(f"/v1/scores/{lead}{path}")).status_code == 404
        assert (await reader.get(f"/v1/scores/{lead}{path}")).status_code == 200
    assert (await stranger.post(f"/v1/scores/{lead}/adjustments", json=wish)).status_code == 404
    assert (await reader.post(f"/v1/scores/{lead}/adjustments", json=wish)).status_code == 403
    assert (await reader.get(f"/v1/scores/{uuid4()}")).status_code == 404


async def test_a_lead_that_was_merged_away_answers_with_the_survivor_and_says_so(bench: ScoresHarness) -> None:
    await bench.count(a_visit("v1", NOON, email="bo@acme.example"))
    bench.clock.advance(timedelta(seconds=1))
    await bench.count(a_visit("v2", NOON, anonymous_id="visitor"))
    absorbed, survivor = await bench.lead("visitor", "anonymous"), await bench.lead("bo@acme.example")
    await bench.count(a_visit("v3", NOON, email="bo@acme.example", anonymous_id="visitor"))

    found = await bench.get(f"{absorbed}")

    assert (found["id"], found["merged_from"]) == (str(survivor), str(absorbed))
    assert found["scores"]["engagement"] == 30


async def test_events_come_page_by_page_the_newest_first_with_what_became_of_them(bench: ScoresHarness) -> None:
    await bench.count(*(a_visit(f"v{hour:02}", NOON - timedelta(hours=hour)) for hour in range(70)))
    await bench.count(*(an_event(f"f{n}", "form_submitted", at=NOON + timedelta(minutes=1 + n)) for n in range(3)))
    bench.clock.advance(timedelta(hours=1))
    path = f"{await bench.lead()}/events"

    first = await bench.get(path, limit=40)
    second = await bench.get(path, limit=40, cursor=first["next_cursor"])

    listed = [event["id"] for event in (*first["events"], *second["events"])]
    assert listed == ["f2", "f1", "f0", *(f"v{hour:02}" for hour in range(70))]
    assert second["next_cursor"] is None
    fates = [event["rules"][0]["fate"] for event in first["events"][:4]]
    assert fates == ["withheld", "withheld", "counts", "counts"]
    only = await bench.get(path, type="form_submitted")
    assert len(only["events"]) == 3
    bad = await (await bench.client()).get(f"/v1/scores/{path}", params={"cursor": "nonsense"})
    assert bad.status_code == 422
