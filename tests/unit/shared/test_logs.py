"""What may be in a line of the log: what is listed, and nobody's data."""

import ast
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from shared.errors import DatabaseUnavailable
from shared.observability import tracing
from shared.observability.logs import FIELDS, JsonLines
from shared.observability.tracing import TraceContext

ROOT = Path(__file__).parents[3]
CANARY = "canary.person@canary-mail.example"


def line_of(message: str, *values: object, error: BaseException | None = None, **extra: object) -> dict[str, Any]:
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.getLogger("test").makeRecord(
        "test", logging.WARNING, __file__, 1, message, values, info, extra=extra
    )
    found: dict[str, Any] = json.loads(JsonLines().format(record))  # noqa: TID251
    return found


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:  # noqa: BLE001
        return caught


def test_a_line_says_in_which_trace_it_was_written() -> None:
    caller = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")

    with tracing.span("work", "server", parent=caller) as span:
        line = line_of("done", elements=3)

    assert (line["trace_id"], line["span_id"]) == (caller.trace_id, span.context.span_id)
    assert (line["message"], line["elements"]) == ("done", 3)
    assert "trace_id" not in line_of("done")


def test_fields_that_nobody_listed_are_named_and_not_shown() -> None:
    line = line_of("done", email=CANARY, elements=1)

    assert line["unlisted"] == ["email"]
    assert CANARY not in json.dumps(line)


@pytest.mark.parametrize("value", [{"email": CANARY}, {CANARY}, ValueError(CANARY), CANARY.encode()])
def test_a_listed_field_is_text_or_a_number_and_nothing_that_could_hold_more(value: object) -> None:
    assert CANARY not in json.dumps(line_of("done", reason=value))


def test_what_other_people_put_into_their_messages_is_left_out() -> None:
    assert line_of("sent %s to %s\nwith more", CANARY, CANARY)["message"] == "sent %s to %s"


def test_an_exception_is_told_without_what_it_quotes() -> None:
    error = raised(DatabaseUnavailable("PostgreSQL does not answer"), raised(ValueError(f"row of {CANARY}")))

    told = line_of("failed", error=error)["exception"]

    assert told["type"] == "shared.errors.DatabaseUnavailable"
    assert told["message"] == "PostgreSQL does not answer"
    assert told["cause"]["type"] == "builtins.ValueError"
    assert "raised" in told["at"][0]
    assert CANARY not in json.dumps(told)


def test_every_field_that_the_code_logs_is_listed() -> None:
    logged = {
        key.value
        for directory in ("services", "shared")
        for path in (ROOT / directory).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict)
        for key in keyword.value.keys
        if isinstance(key, ast.Constant)
    }

    assert {name for name in logged if isinstance(name, str)} <= FIELDS
    assert "error" in logged
