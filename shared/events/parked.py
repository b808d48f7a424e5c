"""What ingest could not place: the element as it came, and why. Nothing that was received is silently gone."""

from typing import Literal

from pydantic import AwareDatetime, Base64Bytes, Field

from shared.events.envelope import Frozen, Message


class ParkedElement(Frozen):
    """An element of a request that became no event, with all that it takes to try it again."""

    source: str = Field(description="The webhook source by its id, or `api`.")
    kind: str = Field(description="The kind of that source, or `api`.")
    form: Literal["element", "body", "item", "cloud_event"] = Field(
        description="What `body` is: an element of a webhook, all of one, an item of the events API, a CloudEvent."
    )
    disposition: Literal["parked", "refused"] = Field(description="What the sender was told.")
    code: str = Field(description="Stable name of the reason.")
    field: str | None = Field(description="Path of what is wrong, where it is one thing.")
    message: str = Field(description="The reason in words.")
    element_id: str | None = Field(description="What the element calls itself, where it does.")
    body: Base64Bytes = Field(
        description="Its bytes as they came, base64; the first of them when there were too many."
    )
    size_bytes: int = Field(ge=0, description="How many bytes came.")
    headers: dict[str, str] = Field(description="Those headers of its request that tell something about the element.")
    received_at: AwareDatetime = Field(description="When ingest received it.")


class ElementParked(Message):
    """An element is kept aside. Its id is a digest: the same element, sent again, has the same one."""

    type: Literal["element.parked"] = Field("element.parked", description="Message type.")
    data: ParkedElement
