"""Who is let in, to which routes, and for how long."""

from datetime import timedelta

import pytest

from shared.access import KeyRepository, Scope
from shared.db.reach import ALL_WORKSPACES
from shared.errors import InvalidInput
from tests.support.ingesting import Ingesting, an_item, problem_of
from tests.support.waiting import wait_until


async def status_with(ingest: Ingesting, key: str, *, header: str = "Authorization") -> int:
    value = f"Bearer {key}" if header == "Authorization" else key
    ingest.client.headers.pop("Authorization", None)
    answer = await ingest.client.post("/v1/events", json=an_item(), headers={header: value})
    return answer.status_code


async def test_a_key_is_taken_as_bearer_token_and_in_a_header_of_its_own(ingest: Ingesting) -> None:
    key = await ingest.key(Scope.EVENTS_WRITE)

    assert await status_with(ingest, key) == 202
    assert await status_with(ingest, key, header="X-API-Key") == 202


async def test_without_a_good_key_nobody_is_let_in(ingest: Ingesting) -> None:
    key = await ingest.key(Scope.EVENTS_WRITE)
    stranger = "0" * 16 + key[len("lf_live_") + 16 :]
    others = ["", "x", key[:-1], key[:-1] + ("0" if key[-1] != "0" else "1"), f"lf_live_{stranger}", "ключ"]

    for other in others:
        ingest.client.headers.pop("Authorization", None)
        answer = await ingest.client.post("/v1/events", json=an_item(), headers=[(b"X-API-Key", other.encode())])
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert problem_of(answer)["code"] == "unauthenticated"
    assert await ingest.published() == []


async def test_a_key_without_the_scope_is_told_which_one_it_lacks(ingest: Ingesting) -> None:
    await ingest.allow(Scope.LEADS_READ)

    answer = await ingest.client.post("/v1/events", json=an_item())

    assert answer.status_code == 403
    assert "events:write" in str(problem_of(answer)["detail"])


async def test_admin_may_do_everything(ingest: Ingesting) -> None:
    assert await status_with(ingest, await ingest.key(Scope.ADMIN)) == 202


async def test_a_key_ends_when_it_expires(ingest: Ingesting) -> None:
    now = ingest.clock.now()
    key = await KeyRepository(ingest.database).create(
        "default", name="short", scopes=[Scope.EVENTS_WRITE], now=now, expires_at=now + timedelta(hours=1)
    )
    await ingest.keys.snapshot.refresh()

    before = await status_with(ingest, key.text)
    ingest.clock.advance(timedelta(hours=1))

    assert (before, await status_with(ingest, key.text)) == (202, 401)


async def test_a_revoked_key_is_refused_at_the_next_refresh(ingest: Ingesting) -> None:
    repository = KeyRepository(ingest.database)
    key = await repository.create("default", name="k", scopes=[Scope.EVENTS_WRITE], now=ingest.clock.now())
    await ingest.keys.snapshot.refresh()
    assert await status_with(ingest, key.text) == 202

    await repository.revoke(key.key_id, workspace="default", now=ingest.clock.now())
    await ingest.keys.snapshot.refresh()

    assert await status_with(ingest, key.text) == 401


async def test_a_workspace_cannot_revoke_the_key_of_another(ingest: Ingesting) -> None:
    repository = KeyRepository(ingest.database)
    key = await repository.create("acme", name="k", scopes=[Scope.EVENTS_WRITE], now=ingest.clock.now())

    with pytest.raises(InvalidInput):
        await repository.revoke(key.key_id, workspace="default", now=ingest.clock.now())


async def test_events_belong_to_the_workspace_of_the_key(ingest: Ingesting) -> None:
    await ingest.allow(Scope.EVENTS_WRITE, workspace="acme")

    await ingest.client.post("/v1/events", json=an_item())

    [record] = await ingest.records(1)
    assert record.headers["workspace"] == b"acme"


async def test_no_secret_is_stored(ingest: Ingesting) -> None:
    key = await ingest.key(Scope.EVENTS_WRITE)
    secret = key.split("_")[3]

    async with ingest.database.transaction(ALL_WORKSPACES) as connection:
        rows = (await connection.exec_driver_sql("SELECT api_key::text FROM access.api_key")).scalars().all()

    assert rows
    assert not any(secret in row for row in rows)


async def test_sources_are_kept_apart_by_workspace_and_never_show_their_secrets(ingest: Ingesting) -> None:
    await ingest.add_source("typeform", ["do not show this"])
    await ingest.allow(Scope.SOURCES_WRITE, workspace="acme")

    of_acme = await ingest.client.get("/v1/sources")
    taken = await ingest.client.post(
        "/v1/sources", json={"id": "typeform", "kind": "typeform", "secrets": ["another one"]}
    )
    await ingest.allow(Scope.SOURCES_WRITE)
    of_default = await ingest.client.get("/v1/sources")

    assert of_acme.json() == {"sources": []}
    assert (taken.status_code, problem_of(taken)["code"]) == (409, "conflict")
    [source] = of_default.json()["sources"]
    assert (source["id"], source["kind"], source["path"]) == ("typeform", "typeform", "/v1/webhooks/typeform")
    assert "do not show this" not in of_default.text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": "Not A Slug"}, "id"),
        ({"kind": "fax"}, "kind"),
        ({"secrets": []}, "secrets"),
        ({"secrets": ["a"]}, "secrets[0]"),
        ({"kind": "sendgrid"}, "secrets[0]"),
        ({"kind": "hubspot"}, "public_url"),
        ({"public_url": "not a url"}, "public_url"),
        ({"event_names": {"A B": "Not Snake"}}, "event_names.A B"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
    ],
)
async def test_a_source_that_could_not_work_is_refused_naming_the_field(
    ingest: Ingesting, change: dict[str, object], field: str
) -> None:
    await ingest.allow(Scope.SOURCES_WRITE)
    source = {"id": "s", "kind": "typeform", "secrets": ["long enough"]} | change

    answer = await ingest.client.post("/v1/sources", json=source)

    assert answer.status_code == 422
    assert problem_of(answer)["field"] == field


async def test_unknown_fields_of_a_source_are_refused(ingest: Ingesting) -> None:
    await ingest.allow(Scope.SOURCES_WRITE)

    answer = await ingest.client.post("/v1/sources", content=b'{"id": "s", "\\ud800": NaN}')

    assert answer.status_code in {400, 422}


async def test_a_source_created_elsewhere_is_known_without_a_restart(ingest: Ingesting) -> None:
    async with ingest.database.transaction(ALL_WORKSPACES) as connection:
        await connection.exec_driver_sql(
            "INSERT INTO ingest.source VALUES ('far', 'default', 'typeform', '[]', NULL, '{}', 'UTC', now())"
        )

    async def is_known() -> bool:
        return (await ingest.client.get("/v1/sources")).status_code == 200

    await ingest.allow(Scope.SOURCES_WRITE)
    await wait_until(is_known, "the source is listed")
    assert [source["id"] for source in (await ingest.client.get("/v1/sources")).json()["sources"]] == ["far"]
