"""The API of webhook subscriptions."""

from datetime import datetime, timedelta
from typing import Annotated, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.pipeline.delivery.address import AddressGuard
from services.pipeline.delivery.schedule import outcome_of
from services.pipeline.delivery.sender import Sender
from services.pipeline.subscriptions import managing
from services.pipeline.subscriptions.fanout import DELIVERED_TYPES, OPERATIONAL_TYPES
from services.pipeline.subscriptions.managing import PartialWish, Wish
from services.pipeline.subscriptions.replays import ReplayPlace
from services.pipeline.subscriptions.repository import AttemptPlace, AttemptView, Subscription
from shared.access.guard import require
from shared.access.keyring import KeyRing
from shared.access.principal import Principal, Scope
from shared.events.json import Json
from shared.http.cursors import cursor_of, place_of
from shared.http.inputs import JsonDocument, Moment, PlainText
from shared.http.problems import problem_responses
from shared.service import Context

_EXAMPLE: dict[str, Json] = {
    "url": "https://crm.example.com/leadflow",
    "event_types": ["lead.stage_changed"],
    "filter": {"data.to_stage": ["mql", "sql"]},
}
_TYPES = f"Any of {', '.join((*DELIVERED_TYPES, *OPERATIONAL_TYPES))}; empty: all that begin with `lead.`."
_FILTER = (
    'Per path of the message what it must have there: a value, a test such as `{"gte": 60}` with the operators of '
    "models, or a list of which one must fit."
)
_URL = "https URL of a public address."
_LONGEST_OVERLAP_HOURS = 720


class NewSubscription(BaseModel):
    """Who wants to be told what, where."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    url: PlainText = Field(min_length=1, max_length=2_048, description=_URL)
    event_types: list[PlainText] = Field([], max_length=20, description=_TYPES)
    filter: JsonDocument = Field({}, description=_FILTER)
    description: PlainText = Field("", max_length=500, description="For people.")


class SubscriptionChange(BaseModel):
    """What is to be otherwise; what is not given stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"url": _EXAMPLE["url"]}]})

    url: PlainText | None = Field(None, min_length=1, max_length=2_048, description=_URL)
    event_types: list[PlainText] | None = Field(None, max_length=20, description=_TYPES)
    filter: JsonDocument | None = Field(None, description=_FILTER)
    description: PlainText | None = Field(None, max_length=500, description="For people.")


class Rotation(BaseModel):
    """How a secret is exchanged."""

    model_config = ConfigDict(extra="forbid")

    keep_old_hours: int = Field(
        24, ge=0, le=_LONGEST_OVERLAP_HOURS, description="How long the old secret signs too; 0: it ends now."
    )


class DeliveryReplayRequest(BaseModel):
    """What to send again: a range of time, the next page of one, or messages by their ids."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"since": "2026-03-02T12:00:00Z", "until": None}]}
    )

    since: Moment | None = Field(None, description="What leadflow told at this moment or later.")
    until: Moment | None = Field(None, description="What it told before this moment; null: until now.")
    message_ids: list[Annotated[PlainText, Field(max_length=200)]] = Field(
        [], max_length=1_000, description="These messages, whatever the subscription's types and filter."
    )
    cursor: str | None = Field(None, max_length=512, description="`next_cursor` of the page before.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum((self.since is not None, bool(self.message_ids), self.cursor is not None)) != 1:
            raise ValueError("give one of since, message_ids and cursor")
        if self.until is not None and self.since is None:
            raise ValueError("until goes with since")
        return self


class SubscriptionView(BaseModel):
    """A subscription, without its secrets."""

    id: UUID
    url: str
    event_types: list[str]
    filter: dict[str, list[Json]]
    description: str
    state: Literal["enabled", "disabled"]
    disabled_reason: str | None
    disabled_at: datetime | None
    failing_since: datetime | None = Field(description="First failure since the last success; null: none.")
    failures: int = Field(description="Failures in a row.")
    paused_until: datetime | None = Field(description="Nothing is sent before, because the receiver fails.")
    old_secret_until: datetime | None = Field(description="How long the secret before a rotation signs too.")
    created_at: datetime


class CreatedSubscription(SubscriptionView):
    """A new subscription with its secret."""

    secret: str = Field(description="Verifies signatures (Standard Webhooks 1.0); shown this once.")


class Attempt(BaseModel):
    """One attempt to deliver a message."""

    at: datetime
    message_id: str = Field(description="The header `webhook-id`, and the message's `id`.")
    type: str
    lead_id: str
    number: int = Field(description="1, 2, 3 ... per message.")
    outcome: Literal["delivered", "failed"]
    status: int | None = Field(description="HTTP status; null without an answer.")
    error: str | None = Field(description="Why there was no answer: `timeout`, `address_refused` ...")
    response: str | None = Field(description="Beginning of the answer, without addresses; null after a success.")
    duration_seconds: float


class AttemptLog(BaseModel):
    """A page of attempts, the newest first."""

    attempts: list[Attempt]
    next_cursor: str | None = Field(description="Hand it back as `cursor` for the next page; null: the end.")


class Replay(BaseModel):
    """A page of a replay."""

    queued: int = Field(description="Messages on their way again; what still waits is not counted.")
    next_cursor: str | None = Field(description="Hand it back as `cursor` to go on; null: that was all.")


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


class TestResult(BaseModel):
    """What came back when a test message was sent."""

    message_id: str
    delivered: bool
    status: int | None = Field(description="HTTP status; null without an answer.")
    error: str | None = Field(description="Why there was no answer: `timeout`, `address_refused` ...")
    response: str | None = Field(description="Beginning of the answer, without addresses.")
    duration_seconds: float


def subscriptions_router(
    context: Context, keys: KeyRing, guard: AddressGuard, sender: Sender, *, most: int | None = None
) -> APIRouter:
    """Routes under /v1/subscriptions."""
    router = APIRouter(
        prefix="/v1/subscriptions", tags=["subscriptions"], responses=problem_responses(401, 403, 422, 429, 503)
    )
    replayer = Annotated[Principal, Depends(require(Scope.SUBSCRIPTIONS_WRITE, keys, cost="dear"))]
    owner = Annotated[Principal, Depends(require(Scope.SUBSCRIPTIONS_WRITE, keys))]
    database, clock = context.database, context.clock

    @router.post("", status_code=201, summary="Subscribe a URL to messages", responses=problem_responses(400, 409))
    async def create(body: NewSubscription, caller: owner) -> CreatedSubscription:
        wish = Wish(body.url, body.event_types, body.filter, body.description)
        created = await managing.create(database, clock, guard, caller.workspace, wish, most=most)
        return CreatedSubscription(**_view(created).model_dump(), secret=created.secrets[0].text)

    @router.get("", summary="All subscriptions, the oldest first")
    async def list_subscriptions(caller: owner) -> list[SubscriptionView]:
        return [_view(item) for item in await managing.all_of(database, caller.workspace)]

    @router.get("/{subscription_id}", summary="One subscription", responses=problem_responses(404))
    async def get_subscription(subscription_id: UUID, caller: owner) -> SubscriptionView:
        return _view(await managing.get(database, caller.workspace, subscription_id))

    @router.patch(
        "/{subscription_id}",
        summary="Change what is told, or where",
        description="What is on its way goes to the new URL; types and filter hold for what is told from now on.",
        responses=problem_responses(400, 404),
    )
    async def change(subscription_id: UUID, body: SubscriptionChange, caller: owner) -> SubscriptionView:
        wish = PartialWish(body.url, body.event_types, body.filter, body.description)
        return _view(await managing.change(database, guard, caller.workspace, subscription_id, wish))

    @router.delete(
        "/{subscription_id}", status_code=204, summary="End a subscription", responses=problem_responses(404)
    )
    async def delete(subscription_id: UUID, caller: owner) -> None:
        await managing.delete(database, clock, caller.workspace, subscription_id)

    @router.post("/{subscription_id}/enable", summary="Send again", responses=problem_responses(404))
    async def enable(subscription_id: UUID, caller: owner) -> SubscriptionView:
        return _view(await managing.enable(database, caller.workspace, subscription_id))

    @router.post("/{subscription_id}/disable", summary="Send nothing for now", responses=problem_responses(404))
    async def disable(subscription_id: UUID, caller: owner) -> SubscriptionView:
        return _view(await managing.disable(database, clock, caller.workspace, subscription_id))

    @router.post(
        "/{subscription_id}/secret/rotate",
        summary="Exchange the signing secret",
        description="While both live, a delivery has a signature by each. The new one is shown this once.",
        responses=problem_responses(400, 404),
    )
    async def rotate(subscription_id: UUID, body: Rotation, caller: owner) -> CreatedSubscription:
        keep_old = timedelta(hours=body.keep_old_hours)
        changed = await managing.rotate_secret(database, clock, caller.workspace, subscription_id, keep_old=keep_old)
        return CreatedSubscription(**_view(changed).model_dump(), secret=changed.secrets[0].text)

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
        found = await managing.deliveries_of(
            database, caller.workspace, subscription_id, before=before, limit=limit + 1
        )
        entries = [DeliveryEntry.model_validate(item, from_attributes=True) for item in found[:limit]]
        return Deliveries(deliveries=entries, next_before=entries[-1].id if len(found) > limit else None)

    @router.get("/{subscription_id}/attempts", summary="Every attempt", responses=problem_responses(404))
    async def list_attempts(
        subscription_id: UUID,
        caller: owner,
        limit: Annotated[int, Query(ge=1, le=100)] = 50,
        cursor: Annotated[str | None, Query(max_length=512, description="`next_cursor` of the page before.")] = None,
    ) -> AttemptLog:
        place = place_of(cursor, AttemptPlace)
        found = await managing.attempts_of(database, caller.workspace, subscription_id, before=place, limit=limit + 1)
        shown = found[:limit]
        more = AttemptPlace(shown[-1].at, shown[-1].delivery_id, shown[-1].number) if len(found) > limit else None
        return AttemptLog(attempts=[_attempt(item) for item in shown], next_cursor=cursor_of(more) if more else None)

    @router.post(
        "/{subscription_id}/replay",
        summary="Send again what was told",
        description="With the same ids and bytes, in order, for as long as the feed keeps messages "
        "(`LEADFLOW_PIPELINE_FEED_RETENTION_SECONDS`). A range comes in pages: repeat with `next_cursor`.",
        responses=problem_responses(400, 404),
    )
    async def replay(subscription_id: UUID, body: DeliveryReplayRequest, caller: replayer) -> Replay:
        place = place_of(body.cursor, ReplayPlace)
        if place is not None:
            done = await managing.replay_on(database, clock, caller.workspace, subscription_id, place=place)
        elif body.since is not None:
            done = await managing.replay_since(
                database, clock, caller.workspace, subscription_id, since=body.since, until=body.until
            )
        else:
            done = await managing.replay_messages(
                database, clock, caller.workspace, subscription_id, message_ids=body.message_ids
            )
        return Replay(queued=done.queued, next_cursor=cursor_of(done.next) if done.next else None)

    @router.post(
        "/{subscription_id}/test",
        summary="Send a signed test message now",
        description="Answers when the receiver has, or has not in time; also for a disabled subscription.",
        responses=problem_responses(404),
    )
    async def send_test(subscription_id: UUID, caller: owner) -> TestResult:
        tested = await managing.send_test(database, clock, sender, caller.workspace, subscription_id)
        answer = tested.answer
        return TestResult(
            message_id=tested.message_id,
            delivered=outcome_of(answer.status) == "delivered",
            status=answer.status,
            error=answer.error,
            response=answer.excerpt,
            duration_seconds=answer.duration_seconds,
        )

    return router


def _view(subscription: Subscription) -> SubscriptionView:
    failing = subscription.failing
    return SubscriptionView(
        id=subscription.id,
        url=subscription.url,
        event_types=list(subscription.event_types),
        filter={path: list(values) for path, values in subscription.filter.items()},
        description=subscription.description,
        state=subscription.state,
        disabled_reason=subscription.disabled_reason,
        disabled_at=subscription.disabled_at,
        failing_since=failing.since if failing else None,
        failures=failing.failures if failing else 0,
        paused_until=failing.resume_at if failing else None,
        old_secret_until=next((old.expires_at for old in subscription.secrets[1:]), None),
        created_at=subscription.created_at,
    )


def _attempt(found: AttemptView) -> Attempt:
    return Attempt(
        at=found.at,
        message_id=found.message_id,
        type=found.type,
        lead_id=found.lead_id,
        number=found.number,
        outcome="delivered" if outcome_of(found.status) == "delivered" else "failed",
        status=found.status,
        error=found.error,
        response=found.response,
        duration_seconds=found.duration_seconds,
    )
