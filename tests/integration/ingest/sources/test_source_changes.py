"""PATCH /v1/sources/{id}: what a source's names mean can change while it receives."""

import pytest

from shared.access import Scope
from tests.support.ingesting import Ingesting, problem_of


@pytest.fixture
async def ingest(ingest: Ingesting) -> Ingesting:
    """Ingest with a source that knows a name."""
    await ingest.add_source("segment", ["kept to oneself"], event_names={"Signed Up": "trial_started"})
    await ingest.allow(Scope.SOURCES_WRITE)
    return ingest


async def test_names_are_added_changed_and_taken_away_and_the_rest_stays(ingest: Ingesting) -> None:
    names = {"Asked": "demo_requested", "Signed Up": None}

    changed = await ingest.client.patch("/v1/sources/segment", json={"event_names": names})

    (listed,) = (await ingest.client.get("/v1/sources")).json()["sources"]
    assert changed.status_code == 200, changed.text
    assert changed.json() == listed
    assert (listed["event_names"], listed["time_zone"]) == ({"Asked": "demo_requested"}, "UTC")


async def test_zone_and_url_change_alone(ingest: Ingesting) -> None:
    wanted = {"time_zone": "Europe/Berlin", "public_url": "https://example.com/hook"}

    changed = (await ingest.client.patch("/v1/sources/segment", json=wanted)).json()

    assert {name: changed[name] for name in wanted} == wanted
    assert changed["event_names"] == {"Signed Up": "trial_started"}


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("segment", {"event_names": {"A": "Not Snake"}}, 422, "event_names.A"),
        ("segment", {"time_zone": "Mars/Olympus"}, 422, "time_zone"),
        ("segment", {"public_url": "ftp://x"}, 422, "public_url"),
        ("segment", {"kind": "hubspot"}, 422, None),
        ("nobody", {"time_zone": "UTC"}, 404, "source"),
        ("%00", {}, 404, "source"),
    ],
)
async def test_a_change_that_cannot_be_is_refused(
    ingest: Ingesting, path: str, body: dict[str, object], status: int, field: str | None
) -> None:
    answer = await ingest.client.patch(f"/v1/sources/{path}", json=body)

    assert answer.status_code == status
    assert problem_of(answer).get("field") == field


async def test_another_workspace_changes_nothing(ingest: Ingesting) -> None:
    await ingest.allow(Scope.SOURCES_WRITE, workspace="other")

    answer = await ingest.client.patch("/v1/sources/segment", json={"event_names": {"Signed Up": None}})

    assert answer.status_code == 404
