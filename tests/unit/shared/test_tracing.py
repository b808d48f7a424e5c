"""Trace context as W3C has it, handed on whether or not anybody keeps spans."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.observability import tracing
from shared.observability.tracing import Attributes, Kind, TraceContext

CALLER = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
OTHER = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


def hexadecimal(digits: int) -> st.SearchStrategy[str]:
    return st.integers(1, 16**digits - 1).map(lambda number: f"{number:0{digits}x}")


@given(st.builds(TraceContext, hexadecimal(32), hexadecimal(16), st.booleans()))
def test_what_was_written_is_read(context: TraceContext) -> None:
    assert tracing.read(str(context)) == context
    assert tracing.read(context.headers()["traceparent"]) == context


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-" + "x" * 600,
        "\N{FULLWIDTH DIGIT ZERO}0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ],
)
def test_what_is_no_traceparent_is_none(text: str) -> None:
    assert tracing.read(text) is None


def test_a_later_version_may_say_more() -> None:
    assert tracing.read("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-more") == CALLER


@pytest.mark.parametrize(
    "state",
    [
        "congo=t61rcWkgMzE",
        "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
        " rojo=1 ,\tfw529a3039@dt=FfAAAA , ,congo=a b!",
        "a_-*/0=" + "x" * 256,
        ",".join(f"v{number}=1" for number in range(32)),
    ],
)
def test_tracestate_is_handed_on_as_it_came(state: str) -> None:
    caller = tracing.read(str(CALLER), state.encode())
    assert caller is not None

    with tracing.span("step", "server", parent=caller) as span:
        followed = tracing.follow("lead", "producer", parent=span.context)

    assert followed.texts() == {"traceparent": str(followed), "tracestate": state}
    assert tracing.read(*followed.headers().values()) == followed


@pytest.mark.parametrize(
    "state",
    [
        "",
        " ,, ",
        "congo",
        "Congo=1",
        "congo=",
        "congo=a=b",
        "congo=1,r\u00f6jo=2",
        "congo=1\r\nx-injected: 1",
        "a" * 257 + "=1",
        "a=" + "x" * 257,
        ",".join(f"v{number}=1" for number in range(33)),
        ",".join(f"v{number}={'x' * 60}" for number in range(9)),
    ],
)
def test_what_is_no_tracestate_is_left_out_and_the_trace_goes_on(state: str) -> None:
    assert tracing.read(str(CALLER), state) == CALLER
    assert tracing.read(str(CALLER), state.encode()) == CALLER


def test_without_a_trace_there_is_no_tracestate() -> None:
    assert tracing.read("00-nothing", "congo=1") is None


def test_tracestate_goes_on_beside_a_recorder_that_does_not_know_it() -> None:
    caller = tracing.read(str(CALLER), "congo=1")

    with tracing.recording(Kept()), tracing.span("step", "server", parent=caller) as span:
        pass

    assert span.context.state == "congo=1"


def test_a_span_goes_on_in_the_trace_of_its_parent() -> None:
    with tracing.span("step", "internal", parent=CALLER) as span:
        here = tracing.current()

    assert here == span.context
    assert (span.context.trace_id, span.context.sampled) == (CALLER.trace_id, True)
    assert span.context.span_id != CALLER.span_id
    assert tracing.current() is None


def test_without_a_parent_a_new_trace_begins_that_nobody_keeps() -> None:
    with tracing.span("one", "internal") as one, tracing.span("two", "internal") as two:
        pass

    assert one.context.trace_id != two.context.trace_id
    assert not one.context.sampled


def test_only_a_request_is_somebodys_trace() -> None:
    with tracing.span("GET /", "server", parent=CALLER) as server:
        assert tracing.request() == server.context
    with tracing.span("process", "consumer"):
        assert tracing.request() is None


@dataclass
class Kept:
    """A recorder that remembers in which order spans ended."""

    ended: list[tuple[str, str | None]] = field(default_factory=list)
    links: dict[str, tuple[TraceContext, ...]] = field(default_factory=dict)

    def begin(
        self, name: str, kind: Kind, *, parent: TraceContext | None, links: Iterable[TraceContext]
    ) -> "KeptSpan":
        self.links[name] = tuple(links)
        return KeptSpan(self, TraceContext((parent or OTHER).trace_id, f"{len(self.links):016x}", sampled=True))


@dataclass
class KeptSpan:
    recorder: Kept
    context: TraceContext

    def end(self, *, name: str, attributes: Attributes, error: str | None) -> None:
        self.recorder.ended.append((name, error))


def test_what_follows_from_a_record_ends_with_its_batch_and_links_to_it() -> None:
    kept = Kept()

    with tracing.recording(kept), tracing.span("batch", "consumer", links=[CALLER]) as batch:
        followed = tracing.follow("lead", "producer", parent=CALLER, links=[OTHER])
        assert kept.ended == []

    assert followed.trace_id == CALLER.trace_id
    assert kept.links == {"batch": (CALLER,), "lead": (OTHER, batch.context)}
    assert kept.ended == [("lead", None), ("batch", None)]
    assert not tracing.is_recording()


def test_a_batch_that_fails_ends_what_followed_as_failed() -> None:
    kept = Kept()

    def batch() -> None:
        with tracing.recording(kept), tracing.span("batch", "consumer"):
            tracing.follow("lead", "producer", parent=CALLER)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        batch()

    assert kept.ended == [("lead", "ZeroDivisionError"), ("batch", "ZeroDivisionError")]


async def test_tasks_side_by_side_do_not_mix_their_traces() -> None:
    async def work(parent: TraceContext) -> bool:
        with tracing.span("work", "server", parent=parent):
            await asyncio.sleep(0)
            here = tracing.current()
            return here is not None and here.trace_id == parent.trace_id

    assert await asyncio.gather(*(work(parent) for parent in [CALLER, OTHER] * 20)) == [True] * 40
