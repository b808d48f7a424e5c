"""Records that are read plainly: the same event as by the contract, or the same refusal."""

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.json import encode

from services.scorer import handlers
from shared.errors import InvalidInput
from shared.events.accepting import Accepted, as_accepted, decode_event, digest_of
from shared.events.engagement import EngagementEvent
from shared.log.protocol import Partition, ReceivedRecord
from tests.support.jsonb import as_postgresql
from tests.support.messages import a_message, an_event, on_the_log

# What is odd is what two readers of JSON could see differently.
NUMBERS = (
    b"0|-0|0.0|-0.0|1|1.0|1.00|1e2|1E2|1e+2|0.1e1|1.5e-7|9999999999999998.0|1e16|1e+16|1e15|123456789012345678.5|1e400"
    b"|-1e400|NaN|Infinity|-Infinity|01|1.|.5|+1|9223372036854775807|9223372036854775808|-9223372036854775807"
    b"|-9223372036854775808|18446744073709551615|18446744073709551616|123456789012345678901234567890"
).split(b"|")
TEXTS = (
    rb'""|"a"|" a"|"\u0061"|"\/"|"\u00e9"|"\ud83d\ude00"|"\ud83d"|"\ude00"|"\u0000"|"\\u0000"|"\b\f\n\r\t"|"\u001f"'
    b'|"\\u007F"|"\xc3\xa9"|"\xff"|"\xed\xa0\x80"|"\x00"|"\x1f"|"\x7f"|"\xf0\x9f\x98\x80"|"null"|"1"|"true"'
    rb'|",\"data\":{"|",\"received_at\":\""'
).split(b"|")
MOMENTS = (
    b'"2026-06-01T12:00:00Z"|"2026-06-01T12:00:00.5Z"|"2026-06-01T12:00:00.500000Z"|"2026-06-01T12:00:00.123456789Z"'
    b'|"2026-06-01T12:00:00.9999999Z"|"2026-06-01t12:00:00z"|"2026-06-01 12:00:00Z"|"2026-06-01T12:00Z"|"2026-06-01"'
    b'|"2026-06-01T12:00:00"|"2026-06-01T12:00:00+00:00"|"2026-06-01T12:00:00-00:00"|"2026-06-01T14:00:00+02:00"'
    b'|"2026-06-01T14:00:00+0200"|"2026-06-01T14:00:00+02"|"2026-06-01T14:00:00+23:59"|"2026-06-01T12:00:00+24:00"'
    b'|"2026-06-01T24:00:00Z"|"2026-06-01T23:59:60Z"|"2026-02-30T12:00:00Z"|"0001-01-01T00:00:00Z"|"0000-01-01T00:00:00Z"'
    b'|"9999-12-31T23:59:59.999999Z"|"0001-01-01T00:00:00+02:00"|"10000-01-01T00:00:00Z"|1780315200|1780315200.5|"1780315200"'
).split(b"|")
STRUCTURES = (
    b'null|true|false|[]|{}|[1,"a"]|[1, "a"]|{"a":1}|{"a":1,"a":2}|{"a":{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}}'
    b'|{"":null}|{1:2}|[[[[[[[[1]]]]]]]]|{"\\u0061":1}|{"\\u0000":1}|{"\\ud800":1}|{"a":NaN}'
).split(b"|")
TYPES = (
    b'"page_viewed"|"Page"|"page_viewed\\n"|"p"|"_p"|"9p"|"p\xc3\xa9"|"engagement.accepted"|"lead.merged"|"nonsense"'
).split(b"|")
WHITE = (*[b""] * 24, b" ", b"\n", b"\t", b"\r\n", b"\x0c", b",", b"\xef\xbb\xbf")
LONG = (b'"%s"' % (b"x" * 128), b'"%s"' % (b"x" * 129), b'"%s"' % (b"x" * 512), b'"%s"' % (b"x" * 513))
ODD = st.sampled_from([*NUMBERS, *TEXTS, *MOMENTS, *STRUCTURES, *TYPES, *LONG])
EVENT = {
    b'"id"': b'"e1"',
    b'"source"': b'"web"',
    b'"type"': b'"page_viewed"',
    b'"native_type"': b"null",
    b'"occurred_at"': b'"2026-06-01T12:00:00Z"',
    b'"received_at"': b'"2026-06-01T12:00:01.250000Z"',
    b'"lead"': b'{"email":"ann@acme.example","external_ids":{"crm":"7"},"anonymous_id":null}',
    b'"properties"': b'{"path":"/pricing","n":1}',
    b'"attributes"': b'{"size":10.5}',
}
MESSAGE = {
    b'"specversion"': b'"1.0"',
    b'"id"': b'"e1"',
    b'"type"': b'"engagement.accepted"',
    b'"source"': b'"web"',
    b'"subject"': b'"0123"',
    b'"time"': b'"2026-06-01T12:00:00Z"',
    b'"datacontenttype"': b'"application/json"',
    b'"workspace"': b'"acme"',
}
LEAD = {b'"email"': b'"ann@acme.example"', b'"external_ids"': b"{}", b'"anonymous_id"': b"null"}


def written(fields: list[tuple[bytes, bytes]], white: bytes = b"") -> bytes:
    return b"{" + b",".join(name + b":" + white + value for name, value in fields) + b"}"


@st.composite
def objects(draw: st.DrawFn, usual: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """The fields of an object, some of them other than usual, missing, doubled, unknown or elsewhere."""
    fields = list(usual.items())
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 0, 1, 1, 2]))):
        place = draw(st.integers(0, len(fields) - 1))
        name = fields[place][0]
        match draw(st.sampled_from(["odd", "odd", "odd", "missing", "doubled", "unknown", "elsewhere"])):
            case "odd":
                fields[place] = (name, draw(ODD))
            case "missing" if len(fields) > 1:
                del fields[place]
            case "doubled":
                fields.insert(draw(st.integers(0, len(fields))), (name, draw(ODD)))
            case "unknown":
                fields.insert(place, (b'"learnt_later"', draw(ODD)))
            case _:
                fields.append(fields.pop(place))
    return fields


@st.composite
def values(draw: st.DrawFn) -> list[tuple[bytes, bytes]]:
    """Properties with something odd in them."""
    odd = draw(ODD)
    return [(b'"x"', draw(st.sampled_from([odd, b"[%s]" % odd, b'{"a":[%s,1]}' % odd, b"{%s:1}" % odd])))]


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Records of the topic: as leadflow writes them, nearly so, or not at all."""
    event = draw(objects(EVENT))
    for place, (name, _) in enumerate(event):
        if name == b'"lead"' and draw(st.integers(0, 2)) == 0:
            event[place] = (name, written(draw(objects(LEAD))))
        if name in {b'"properties"', b'"attributes"'} and draw(st.integers(0, 2)) == 0:
            event[place] = (name, written(draw(values())))
    message = [*draw(objects(MESSAGE)), (b'"data"', written(event, draw(st.sampled_from(WHITE))))]
    body = written(draw(st.permutations(message)) if draw(st.integers(0, 9)) == 0 else message)
    return draw(st.sampled_from(WHITE)) + body + draw(st.sampled_from(WHITE))


def received(value: bytes, **headers: bytes) -> ReceivedRecord:
    return ReceivedRecord(
        Partition("engagement-events", 0), 1, b"key", value, headers, datetime(2026, 6, 1, tzinfo=UTC)
    )


def outcome(read: Callable[[ReceivedRecord], Accepted], record: ReceivedRecord) -> object:
    """What became of a record, to the byte: 1 is not 1.0 here."""
    try:
        accepted = read(record)
    except InvalidInput as error:
        return error.code, error.field, str(error)
    return accepted.workspace, accepted.body, encode(accepted.data)


@given(bodies(), st.sampled_from([{}, {}, {"workspace": b"acme"}, {"workspace": b"other"}]))
@example(b"", {})
@example(b"[]", {})
@example(b"\xff\xfe", {})
@example(on_the_log(an_event(properties={"x": "MARK"})).replace(b'"MARK"', b"[" * 500 + b"]" * 500), {})
def test_a_record_is_read_as_the_contract_has_it(value: bytes, headers: dict[str, bytes]) -> None:
    record = received(value, **headers)

    assert outcome(handlers.read, record) == outcome(handlers._read_exactly, record)


@given(bodies())
def test_a_stored_event_is_read_as_the_contract_has_it(value: bytes) -> None:
    try:
        accepted = handlers.read(received(value))
    except InvalidInput:
        return

    for body in (accepted.body, as_postgresql(accepted.body).encode()):
        model = EngagementEvent.model_validate_json(body)
        assert encode(decode_event(body)) == encode(as_accepted(a_message(model)).data)


@given(bodies())
def test_a_repetition_is_known_by_all_but_its_receipt(value: bytes) -> None:
    try:
        accepted = handlers.read(received(value))
    except InvalidInput:
        return

    model = EngagementEvent.model_validate_json(accepted.body)
    assert digest_of(accepted.body) == sha256(model.model_dump_json(exclude={"received_at"}).encode()).digest()
