"""Standard Webhooks 1.0.0: any system of the customer's that signs like this, by `v1` or `v1a`.

`type` names the event with full stops; what the source's event_names do not map is taken with underscores.
The lead is `data.lead` as in the events API, or `data.email`, `data.external_ids`, `data.anonymous_id`;
where the type is about a person (`contact.created`), `data.id` is its id in the source's system.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime

from services.ingest.domain.draft import Draft, is_event_type
from services.ingest.domain.identity import LeadNames
from services.ingest.domain.items import lead_names
from services.ingest.domain.times import platform_time
from services.ingest.kinds import signatures
from services.ingest.kinds.kind import Delivery, Element, NotVerified, Parked, Source, Translated
from services.ingest.kinds.reading import member, members, objects_of, text, zone_of
from shared.errors import InvalidInput
from shared.events.json import Json

NAME = "standardwebhooks"
NEEDS_PUBLIC_URL = False

_SYMMETRIC, _PUBLIC = "whsec_", "whpk_"
_ED25519_BYTES = 32
_PEOPLE = frozenset({"contact", "lead", "person", "customer", "user"})
_ENVELOPE_OF_DATA = frozenset({"lead", "email", "external_ids", "anonymous_id", "attributes", "properties"})


def check_secret(secret: str) -> None:
    if secret.startswith(_PUBLIC) and len(_key(secret)) != _ED25519_BYTES:
        raise InvalidInput("is not an Ed25519 public key", code="invalid_secret", field="secret")
    signatures.check_text_secret(secret)
    _key(secret)


def verify(delivery: Delivery, source: Source) -> None:
    message_id = signatures.header(delivery, "webhook-id")
    timestamp = signatures.header(delivery, "webhook-timestamp")
    listed = signatures.header(delivery, "webhook-signature").split(" ")
    signatures.require_fresh(timestamp, delivery.received_at)
    if "." in message_id or not message_id.isascii():
        raise NotVerified
    signed = f"{message_id}.{timestamp}.".encode() + delivery.body
    if not (_signed_v1(signed, listed, source, delivery.received_at) | _signed_v1a(signed, listed, source, delivery)):
        raise NotVerified


def elements(body: Json) -> Sequence[Json]:
    if not isinstance(body, dict):
        raise InvalidInput("the body must be a JSON object", code="not_json")
    return objects_of(body)


def translate(element: Mapping[str, Json], delivery: Delivery, source: Source) -> Element:
    native_type = text(element, "type") or ""
    event_type = source.event_names.get(native_type) or native_type.replace(".", "_")
    element_id = delivery.headers.get("webhook-id", "").strip()
    if not is_event_type(event_type):
        return Parked("unknown_type", f"map the type {native_type[:80]!r} in the source's event_names", element_id)
    data = members(element.get("data"))
    draft = Draft(
        id=element_id,
        type=event_type,
        native_type=native_type,
        lead=_lead(data, native_type, source),
        occurred_at=platform_time(element.get("timestamp"), zone=zone_of(source)),
        properties=_properties(data),
        attributes=members(data.get("attributes")),
    )
    return Translated(draft)


def _signed_v1(signed: bytes, listed: Sequence[str], source: Source, now: datetime) -> bool:
    keys = [_key(secret) for secret in source.live_secrets(now) if not secret.startswith(_PUBLIC)]
    try:
        signatures.require_hmac(signed, _of_version(listed, "v1"), keys=keys)
    except NotVerified:
        return False
    return True


def _signed_v1a(signed: bytes, listed: Sequence[str], source: Source, delivery: Delivery) -> bool:
    secrets = source.live_secrets(delivery.received_at)
    keys = [_key(secret) for secret in secrets if secret.startswith(_PUBLIC)]
    given = _of_version(listed, "v1a")
    return any(signatures.ed25519_signed(key, signature, signed) for key in keys for signature in given)


def _of_version(listed: Sequence[str], version: str) -> list[bytes]:
    """The signatures of one version; a malformed one beside them does no harm."""
    found: list[bytes] = []
    for entry in listed[:32]:
        name, _, value = entry.partition(",")
        if name == version:
            try:
                found.append(signatures.from_base64(value))
            except NotVerified:
                continue
    return found


def _key(secret: str) -> bytes:
    """The bytes behind `whsec_` or `whpk_`; missing padding is tolerated, as the libraries do."""
    encoded = secret.removeprefix(_SYMMETRIC).removeprefix(_PUBLIC)
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("must be whsec_ or whpk_ and base64", code="invalid_secret", field="secret") from error


def _lead(data: Mapping[str, Json], native_type: str, source: Source) -> LeadNames:
    if data.get("lead") is not None:
        return lead_names(data["lead"], "data.lead")
    ids = {system: value for system, value in members(data.get("external_ids")).items() if isinstance(value, str)}
    own = text(data, "id")
    if own is not None and native_type.partition(".")[0] in _PEOPLE:
        # Two systems may both count their people from 1, so the id belongs to the source, not to its kind.
        ids.setdefault(source.id, own)
    return LeadNames(email=text(data, "email"), external_ids=ids, anonymous_id=text(data, "anonymous_id"))


def _properties(data: Mapping[str, Json]) -> dict[str, Json]:
    given = member(data, "properties")
    if isinstance(given, dict):
        return dict(given)
    return {name: value for name, value in data.items() if name not in _ENVELOPE_OF_DATA}
