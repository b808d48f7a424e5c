"""Where work comes from: W3C trace context, handed on so that one id finds a lead's whole way.

Ids are made and handed on always; spans are kept only by a recorder, which `shared.observability.otlp` brings when
export is configured. Nothing here imports OpenTelemetry.

A batch is handled in a trace of its own, whose span links to each record. What comes of a record goes on in the
record's trace: `follow` begins a span there that ends with the batch.
"""

import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from random import getrandbits
from types import TracebackType
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from shared.log.protocol import ReceivedRecord

logger = logging.getLogger(__name__)

HEADER = "traceparent"
STATE_HEADER = "tracestate"

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Attributes: TypeAlias = Mapping[str, str | int | bool]

_LONGEST = 512
# https://www.w3.org/TR/trace-context/#traceparent-header: a later version may say more, after another dash.
_FORM = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII
)
_SAMPLED = 1
# https://www.w3.org/TR/trace-context/#tracestate-header: what vendors say of the trace, nobody else's to change.
_MEMBER = re.compile(
    r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]",
    re.ASCII,
)
_MOST_MEMBERS = 32


class TraceContext(Struct, frozen=True, gc=False):
    """A place in a trace: 32 and 16 hexadecimal digits. `sampled`: whoever was here kept a record of it.

    `state` is the `tracestate` that came with it: handed on as it came, and never looked into.
    """

    trace_id: str
    span_id: str
    sampled: bool = False
    state: str = ""

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def texts(self) -> dict[str, str]:
        """The same as headers of a request."""
        return {HEADER: str(self), STATE_HEADER: self.state} if self.state else {HEADER: str(self)}

    def headers(self) -> dict[str, bytes]:
        """The same as headers of a record."""
        parent = str(self).encode()
        return {HEADER: parent, STATE_HEADER: self.state.encode()} if self.state else {HEADER: parent}


def read(value: str | bytes | None, state: str | bytes | None = None) -> TraceContext | None:
    """What a `traceparent` and its `tracestate` say; None for none, and for one that is not as W3C has it.

    A `tracestate` that is not as W3C has it, or too long, is left out.
    """
    if value is None or len(value) > _LONGEST:
        return None
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    match = _FORM.fullmatch(text)
    if match is None or (match[1] == "00" and match[5] is not None):
        return None
    return TraceContext(match[2], match[3], bool(int(match[4], 16) & _SAMPLED), _state(state) if state else "")


def _state(value: str | bytes) -> str:
    if len(value) > _LONGEST:
        return ""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    members = [member.strip(" \t") for member in text.split(",")]
    well_formed = len(members) <= _MOST_MEMBERS and all(not one or _MEMBER.fullmatch(one) for one in members)
    return text if well_formed and any(members) else ""


def read_record(record: ReceivedRecord) -> TraceContext | None:
    """Where a record comes from, as far as its headers say."""
    return read(record.headers.get(HEADER), record.headers.get(STATE_HEADER))


class Recorded(Protocol):
    """A span that is kept. `end` is called once."""

    context: TraceContext

    def end(self, *, name: str, attributes: Attributes, error: str | None) -> None: ...


class Recorder(Protocol):
    """Keeps spans, and exports them."""

    def begin(
        self, name: str, kind: Kind, *, parent: TraceContext | None, links: Iterable[TraceContext]
    ) -> Recorded: ...


class Span(Struct, eq=False):
    """Work under way. Attributes are ids, codes and counts: never personal data."""

    name: str
    kind: Kind
    context: TraceContext
    parent: TraceContext | None
    attributes: dict[str, str | int | bool]
    error: str | None = None
    _recorded: Recorded | None = None
    _began: float = field(default_factory=time.monotonic)
    _followers: list["Span"] = []

    def _end(self, error: str | None) -> None:
        self.error = self.error or error
        for follower in self._followers:
            follower._end(self.error)  # noqa: SLF001 - of the same kind
        if self._recorded is not None:
            self._recorded.end(name=self.name, attributes=self.attributes, error=self.error)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("span ended", extra=self._line())

    def _line(self) -> dict[str, object]:
        return {
            "span": self.name,
            "kind": self.kind,
            "trace_id": self.context.trace_id,
            "span_id": self.context.span_id,
            "parent_span_id": self.parent.span_id if self.parent else None,
            "duration_seconds": round(time.monotonic() - self._began, 6),
            "error": self.error,
            **{name.replace(".", "_"): value for name, value in self.attributes.items()},
        }


_current: ContextVar[Span | None] = ContextVar("span", default=None)
_recorder: Recorder | None = None


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Let `recorder` keep the spans of this process."""
    global _recorder  # noqa: PLW0603 - one process, one way out
    before, _recorder = _recorder, recorder
    try:
        yield
    finally:
        _recorder = before


def is_recording() -> bool:
    """Whether anybody keeps spans: else links need not be looked for."""
    return _recorder is not None


def current() -> TraceContext | None:
    """Where the work of this task stands."""
    span = _current.get()
    return None if span is None else span.context


def request() -> TraceContext | None:
    """Where the work of this task stands if somebody asked for it over HTTP; batches and time are nobody's trace."""
    around = _current.get()
    return around.context if around is not None and around.kind == "server" else None


def span(
    name: str,
    kind: Kind,
    *,
    parent: TraceContext | None = None,
    links: Iterable[TraceContext] = (),
    attributes: Attributes | None = None,
) -> AbstractContextManager[Span]:
    """Work from here to the end of the block, in the trace of `parent`, or in a new one."""
    return _Block(_begin(name, kind, parent, links, attributes))


class _Block:
    """The block of a span: written out, because every request has two."""

    __slots__ = ("_begun", "_token")

    def __init__(self, begun: Span) -> None:
        self._begun = begun

    def __enter__(self) -> Span:
        self._token = _current.set(self._begun)
        return self._begun

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._begun._end(None if kind is None else kind.__name__)  # noqa: SLF001
        finally:
            _current.reset(self._token)


@contextmanager
def batch(topic: str, records: Sequence[ReceivedRecord]) -> Iterator[Span]:
    """The span of a batch: a trace of its own, with a link to where each record comes from."""
    links = dict.fromkeys(trace for record in records if (trace := read_record(record))) if is_recording() else ()
    attributes: Attributes = {"messaging.destination.name": topic, "messaging.batch.message_count": len(records)}
    with span(f"process {topic}", "consumer", links=links, attributes=attributes) as begun:
        yield begun


def follow(
    name: str,
    kind: Kind,
    *,
    parent: TraceContext | None,
    links: Iterable[TraceContext] = (),
    attributes: Attributes | None = None,
) -> TraceContext:
    """A span in the trace of `parent`, or in a new one, that ends with the current span, to which it links.

    Where nobody keeps spans, only its place.
    """
    if _recorder is None and not logger.isEnabledFor(logging.DEBUG):
        return _child_of(parent)
    around = _current.get()
    if around is None:
        begun = _begin(name, kind, parent, links, attributes)
        begun._end(None)  # noqa: SLF001
        return begun.context
    begun = _begin(name, kind, parent, (*links, around.context), attributes)
    around._followers.append(begun)  # noqa: SLF001
    return begun.context


def _begin(
    name: str,
    kind: Kind,
    parent: TraceContext | None,
    links: Iterable[TraceContext],
    attributes: Attributes | None,
) -> Span:
    recorded = None if _recorder is None else _recorder.begin(name, kind, parent=parent, links=links)
    context = _child_of(parent) if recorded is None else recorded.context
    if parent is not None and context.state != parent.state:
        context = replace(context, state=parent.state)
    return Span(name, kind, context, parent, dict(attributes) if attributes else {}, _recorded=recorded)


def _child_of(parent: TraceContext | None) -> TraceContext:
    if parent is None:
        return TraceContext(f"{getrandbits(128):032x}", _span_id())
    return TraceContext(parent.trace_id, _span_id(), parent.sampled, parent.state)


def _span_id() -> str:
    # It is to be unlike others, and no secret: every request needs three of them.
    return f"{getrandbits(64):016x}"
