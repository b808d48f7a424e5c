"""Logs: one JSON object a line, a constant message, what varies as fields, never personal data.

What may be in a line is listed here: fields by name, of exceptions their types, and messages of our own errors only.
Other people's exceptions quote what they were given (PostgreSQL the row, asyncio the result), and other people's
loggers format what they like: of those the template is kept, not what was put into it.
"""

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType

from shared.errors import LeadflowError
from shared.observability import tracing

FIELDS = frozenset(
    {
        "elements",
        "error",
        "failure",
        "group",
        "in_row",
        "lead",
        "of",
        "part",
        "partitions",
        "reason",
        "records",
        "revision",
        "schema",
        "seconds",
        "simulation",
        "subscription",
        "task",
        "work",
        # Of the span that a line is about; see docs/tracing.md.
        "duration_seconds",
        "http_request_method",
        "http_request_resend_count",
        "http_response_status_code",
        "http_route",
        "kind",
        "leadflow_lead",
        "leadflow_message",
        "leadflow_source_kind",
        "leadflow_subscription",
        "messaging_batch_message_count",
        "messaging_destination_name",
        "parent_span_id",
        "span",
        "span_id",
        "trace_id",
    }
)
"""What may be in `extra`: ids, codes, counts, names of our own, texts of our own errors."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_OURS = ("services", "shared")
_LONGEST = 500
_MOST_FRAMES = 50


class JsonLines(logging.Formatter):
    """A record as one line of JSON; what was passed in `extra` becomes fields, those of FIELDS."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        if (here := tracing.current()) is not None:
            line |= {"trace_id": here.trace_id, "span_id": here.span_id}
        line |= _fields(record)
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = exception_of(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def configure_logs(level: str) -> None:
    """Send every log of this process to stderr as JSON lines, what ends the process included.

    Other people's loggers are heard from WARNING on: below that they tell of single requests and records.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())
    # aiokafka tells every reconnect at WARNING or ERROR; the log engine says it once, in our words.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    sys.excepthook = _log_uncaught


def exception_of(error: BaseException) -> dict[str, object]:
    """An exception without what it quotes: types, PostgreSQL's code, where it came from, and what caused it."""
    told: dict[str, object] = {"type": f"{type(error).__module__}.{type(error).__qualname__}"}
    if isinstance(error, LeadflowError):
        told["message"] = str(error)[:_LONGEST]
    if (state := getattr(getattr(error, "orig", error), "sqlstate", None)) is not None:
        told["sqlstate"] = str(state)[:5]
    told["at"] = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
    ][-_MOST_FRAMES:]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        told["cause"] = exception_of(cause)
    if isinstance(error, BaseExceptionGroup):
        told["parts"] = [exception_of(part) for part in error.exceptions]
    return told


def _message(record: logging.LogRecord) -> str:
    template = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
    return template.partition("\n")[0][:_LONGEST]


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    given = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    line = {name: _plain(value) for name, value in given.items() if name in FIELDS and value is not None}
    if unlisted := sorted(given.keys() - FIELDS):
        line["unlisted"] = unlisted
    return line


def _plain(value: object) -> object:
    """Text, numbers, and lists of texts; anything else could be anything."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value[:_LONGEST] if isinstance(value, str) else type(value).__name__


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What nobody caught, as a line: Python's own words would quote what the database was given."""
    if isinstance(error, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("shared.process").critical("the process ends", exc_info=(kind, error, trace))
