"""The API of webhook subscriptions."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from services.pipeline import subscriptions
from services.pipeline.delivery.address import AddressGuard
from services.pipeline.fanout import DELIVERED_TYPES
from services.pipeline.subscription_repository import Subscription
from services.pipeline.subscriptions import Wish
from shared.access.guard import require
from shared.access.keyring import KeyRing
from shared.access.principal import Principal, Scope
from shared.events.json import Json
from shared.http.inputs import JsonDocument, PlainText
from shared.http.problems import problem_responses
from shared.service import Context

_EXAMPLE: dict[str, Json] = {
    "url": "https://crm.example.com/leadflow",
    "event_types": ["lead.stage_changed"],
    "filter": {"data.to_stage": ["mql", "sql"]},
}


class NewSubscription(BaseModel):
    """Who wants to be told what, where."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    url: PlainText = Field(min_length=1, max_length=2_048, description="https URL of a public address.")
    event_types: list[PlainText] = Field(
        [], max_length=20, description=f"Any of {', '.join(DELIVERED_TYPES)}; empty: all of them."
    )
    filter: JsonDocument = Field(
        {}, description="Per path of the message the value, or the values, that it must have there."
    )
    description: PlainText = Field("", max_length=500, description="For people.")


class SubscriptionView(BaseModel):
    """A subscription, without its secrets."""

    id: UUID
    url: str
    event_types: list[str]
    filter: dict[str, list[Json]]
    description: str
    state: Literal["enabled", "disabled"]
    disabled_reason: str | None
    created_at: datetime


class CreatedSubscription(SubscriptionView):
    """A new subscription with its secret."""

    secret: str = Field(description="Verifies signatures (Standard Webhooks 1.0); shown this once.")


class DeliveryEntry(BaseModel):
    """A message on its way to the subscriber, with the last attempt."""

    id: int
    message_id: str = Field(description="The header `webhook-id`, and the message's `id`.")
    type: str
    lead_id: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    next_at: datetime = Field(description="When it is tried next, while pending.")
    created_at: datetime
    last_status: int | None = Field(description="HTTP status of the last attempt; null without an answer.")
    last_error: str | None
    last_attempt_at: datetime | None
    last_duration_seconds: float | None


class Deliveries(BaseModel):
    """A page of deliveries, the newest first."""

    deliveries: list[DeliveryEntry]
    next_before: int | None = Field(description="Hand it back as `before` for the next page; null: the end.")


class TestMessage(BaseModel):
    """A test message is on its way."""

    message_id: str


def subscriptions_router(context: Context, keys: KeyRing, guard: AddressGuard) -> APIRouter:
    """Routes under /v1/subscriptions."""
    router = APIRouter(
        prefix="/v1/subscriptions", tags=["subscriptions"], responses=problem_responses(401, 403, 422, 503)
    )
    owner = Annotated[Principal, Depends(require(Scope.SUBSCRIPTIONS_WRITE, keys))]

    @router.post("", status_code=201, summary="Subscribe a URL to messages", responses=problem_responses(400))
    async def create(body: NewSubscription, caller: owner) -> CreatedSubscription:
        wish = Wish(body.url, body.event_types, body.filter, body.description)
        created = await subscriptions.create(context.database, context.clock, guard, caller.workspace, wish)
        return CreatedSubscription(**_view(created).model_dump(), secret=created.secrets[0].text)

    @router.get("", summary="All subscriptions, the oldest first")
    async def list_subscriptions(caller: owner) -> list[SubscriptionView]:
        return [_view(item) for item in await subscriptions.all_of(context.database, caller.workspace)]

    @router.delete(
        "/{subscription_id}", status_code=204, summary="End a subscription", responses=problem_responses(404)
    )
    async def delete(subscription_id: UUID, caller: owner) -> None:
        await subscriptions.delete(context.database, caller.workspace, subscription_id)

    @router.get(
        "/{subscription_id}/deliveries",
        summary="What was sent, and what became of it",
        responses=problem_responses(404),
    )
    async def list_deliveries(
        subscription_id: UUID,
        caller: owner,
        limit: Annotated[int, Query(ge=1, le=100)] = 50,
        before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    ) -> Deliveries:
        found = await subscriptions.deliveries_of(
            context.database, caller.workspace, subscription_id, before=before, limit=limit + 1
        )
        entries = [DeliveryEntry.model_validate(item, from_attributes=True) for item in found[:limit]]
        return Deliveries(deliveries=entries, next_before=entries[-1].id if len(found) > limit else None)

    @router.post(
        "/{subscription_id}/test",
        status_code=202,
        summary="Send a signed test message",
        responses=problem_responses(404),
    )
    async def send_test(subscription_id: UUID, caller: owner) -> TestMessage:
        message_id = await subscriptions.send_test(context.database, context.clock, caller.workspace, subscription_id)
        return TestMessage(message_id=message_id)

    return router


def _view(subscription: Subscription) -> SubscriptionView:
    return SubscriptionView(
        id=subscription.id,
        url=subscription.url,
        event_types=list(subscription.event_types),
        filter={path: list(values) for path, values in subscription.filter.items()},
        description=subscription.description,
        state=subscription.state,
        disabled_reason=subscription.disabled_reason,
        created_at=subscription.created_at,
    )
