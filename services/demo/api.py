"""leadflow as its operator uses it: through the public HTTP API, with a key."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from services.demo.installation import Installation
from services.demo.webhooks import EVENT_NAMES, HUBSPOT_URL, SOURCES
from shared.access.principal import Scope
from shared.documents.yaml_text import read_yaml
from shared.errors import Misconfigured
from shared.events.json import Json, parse_json

SCOPES: Final = (
    Scope.EVENTS_WRITE,
    Scope.LEADS_READ,
    Scope.MODELS_WRITE,
    Scope.PIPELINES_WRITE,
    Scope.SOURCES_WRITE,
    Scope.SUBSCRIPTIONS_WRITE,
)
_EXAMPLES: Final = Path(__file__).parents[2] / "deploy" / "examples"
_DESCRIPTION: Final = "the demo's own subscriber"
_PAGE: Final = 100


_ONE_PER_SERVICE: Final = ("/v1/sources", "/v1/models", "/v1/leads")


@dataclass(frozen=True, slots=True)
class Subscription:
    """The subscription of the demo's receiver."""

    id: str
    secret: str = field(repr=False)


class Leadflow:
    """One workspace of a running leadflow."""

    def __init__(self, client: httpx.AsyncClient, api_key: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {api_key}"}

    async def set_up(
        self, installation: Installation, subscriber_url: str, event_types: Sequence[str]
    ) -> Subscription:
        """Publish model and pipeline, create what is missing, and subscribe."""
        await self.publish(installation)
        return await self._subscribe(subscriber_url, event_types)

    async def publish(self, installation: Installation) -> None:
        """Publish model and pipeline, and create the sources that are missing."""
        await self._post("/v1/models", {"document": example("model.yaml"), "reason": "the demo's model"})
        await self._post("/v1/pipelines", {"document": example("pipeline.yaml")})
        await self._create_sources(installation)

    async def lets_in(self) -> bool:
        """Whether every service knows the key by now."""
        answers = [await self._client.get(path, headers=self._headers) for path in _ONE_PER_SERVICE]
        return all(answer.is_success for answer in answers)

    async def has_sources(self) -> bool:
        """Whether anybody has made a source."""
        return bool(_objects(_object(await self._get("/v1/sources"))["sources"]))

    async def delivers(self, subscription: Subscription) -> bool:
        """Whether any message is still on its way to the subscriber."""
        query: dict[str, str] = {"limit": str(_PAGE)}
        while True:
            page = _object(await self._get(f"/v1/subscriptions/{subscription.id}/deliveries", query))
            if any(delivery["state"] == "pending" for delivery in _objects(page["deliveries"])):
                return True
            if page["next_before"] is None:
                return False
            query["before"] = str(page["next_before"])

    async def attributes(self, lead_id: str) -> dict[str, Json]:
        """What is known of a lead."""
        return _object(_object(await self._get(f"/v1/leads/{lead_id}"))["attributes"])

    async def leads(self) -> AsyncIterator[dict[str, Json]]:
        """Every lead, the hottest first."""
        cursor: Json = None
        while True:
            query = {"limit": str(_PAGE)} | ({"cursor": str(cursor)} if cursor else {})
            page = _object(await self._get("/v1/leads", query))
            for lead in _objects(page["leads"]):
                yield lead
            cursor = page["next_cursor"]
            if cursor is None:
                return

    async def _create_sources(self, installation: Installation) -> None:
        existing = {source["id"] for source in _objects(_object(await self._get("/v1/sources"))["sources"])}
        for channel in SOURCES:
            if channel.value in existing:
                continue
            source: dict[str, Json] = {
                "id": channel.value,
                "kind": channel.value,
                "secrets": [installation.source_secret(channel)],
                "public_url": HUBSPOT_URL if channel.value == "hubspot" else None,
                "event_names": dict(EVENT_NAMES.get(channel, {})),
            }
            await self._post("/v1/sources", source)

    async def _subscribe(self, url: str, event_types: Sequence[str]) -> Subscription:
        """The receiver has another port in every run, so the subscriptions of earlier ones end here."""
        for old in _objects(await self._get("/v1/subscriptions")):
            if old["description"] == _DESCRIPTION:
                _checked(await self._client.delete(f"/v1/subscriptions/{old['id']}", headers=self._headers))
        body: dict[str, Json] = {"url": url, "event_types": list(event_types), "description": _DESCRIPTION}
        created = await self._post("/v1/subscriptions", body)
        return Subscription(id=str(created["id"]), secret=str(created["secret"]))

    async def _post(self, path: str, body: Mapping[str, Json]) -> dict[str, Json]:
        return _object(_checked(await self._client.post(path, headers=self._headers, json=body)))

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        return _checked(await self._client.get(path, headers=self._headers, params=dict(query or {})))


def _checked(response: httpx.Response) -> Json:
    """The answer, if it is a success. Raises Misconfigured with leadflow's own words otherwise."""
    if response.is_success:
        return parse_json(response.content) if response.content else None
    request = response.request
    raise Misconfigured(f"{request.method} {request.url.path} answers {response.status_code}: {response.text}")


def _object(value: Json) -> dict[str, Json]:
    assert isinstance(value, dict)
    return value


def _objects(value: Json) -> list[dict[str, Json]]:
    assert isinstance(value, list)
    return [item for item in value if isinstance(item, dict)]


def example(name: str) -> Json:
    """A document that users copy. Raises Misconfigured where the repository's files are missing."""
    path = _EXAMPLES / name
    if not path.exists():
        raise Misconfigured(f"{path} is missing: the demo needs the files of the repository")
    return read_yaml(path.read_text(encoding="utf-8"))
