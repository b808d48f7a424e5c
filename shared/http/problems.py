"""Every error as RFC 9457 problem details. HTTP statuses of errors live here and nowhere else.

An answer never holds a stack trace, nor anything of what was sent but names of fields.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import compile_path

from shared.access.errors import Forbidden, Unauthenticated
from shared.errors import (
    DatabaseUnavailable,
    Fault,
    InvalidDocument,
    InvalidInput,
    LeadflowError,
    LogUnavailable,
    RateLimited,
    Refused,
    TransientError,
)

_log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 2
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# InvalidInput is 422 unless its code says that something else than the content is wrong.
_STATUS_BY_CODE: Mapping[str, int] = {
    "not_json": 400,
    "not_form": 400,
    "not_utf8": 400,
    "not_a_cloudevent": 400,
    "bad_encoding": 400,
    "bad_header": 400,
    "not_found": 404,
    "too_slow": 408,
    "conflict": 409,
    "cursor_expired": 410,
    "too_large": 413,
    "too_many_items": 413,
    "unsupported_encoding": 415,
    "unsupported_media_type": 415,
}
_CODE_BY_STATUS: Mapping[int, str] = {
    400: "not_json",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}


class ProblemError(BaseModel):
    """One of several faults."""

    field: str | None = Field(description="Path of what is wrong.")
    message: str = Field(description="What is wrong with it, in words.")


class Problem(BaseModel):
    """Problem details (RFC 9457), `application/problem+json`."""

    type: str = Field("about:blank", description="Always `about:blank`; `code` tells problems apart.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="HTTP status.")
    code: str = Field(description="Stable name of the problem, for programs.")
    detail: str = Field(description="What happened, for people.")
    field: str | None = Field(None, description="Path of what is wrong, when it is one thing.")
    errors: list[ProblemError] | None = Field(None, description="Every fault, when there are several.")


def _inlined(schema: dict[str, object]) -> dict[str, object]:
    """Without references: FastAPI would describe a referenced model as `application/json` too."""
    definitions = schema.pop("$defs")
    assert isinstance(definitions, dict)

    def resolved(part: object) -> object:
        if isinstance(part, dict):
            reference = str(part.get("$ref", "")).rpartition("/")[2]
            return definitions.get(reference) or {name: resolved(value) for name, value in part.items()}
        return [resolved(value) for value in part] if isinstance(part, list) else part

    return {name: resolved(value) for name, value in schema.items()}


_PROBLEM_SCHEMA = _inlined(Problem.model_json_schema())


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    code: str
    detail: str
    field: str | None = None
    faults: Sequence[Fault] = ()
    headers: Mapping[str, str] | None = None


def install_problem_handlers(app: FastAPI) -> None:
    """Let `app` answer every error as a problem: leadflow's, FastAPI's, and the unexpected."""
    app.add_exception_handler(LeadflowError, _on_leadflow_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_unexpected)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The `responses` of a route that may answer with these problems, for OpenAPI."""
    content = {"application/problem+json": {"schema": _PROBLEM_SCHEMA}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def problem_response(error: LeadflowError, *, method: str = "POST") -> Response:
    """The answer to `error`, for code that stands outside FastAPI's handlers."""
    return _response(_answer(error, method))


def disconnect_response() -> Response:
    """The answer, which hardly anybody hears, to a body that broke off."""
    return _response(_Answer(400, "disconnected", "the body did not arrive in full"))


def unexpected_response() -> Response:
    """The answer to what nobody thought of."""
    return _response(_Answer(500, "internal", "leadflow failed; repeat the request with the same ids"))


async def _on_leadflow_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, LeadflowError)
    return problem_response(error, method=request.method)


async def _on_validation_error(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, RequestValidationError)
    for fault in error.errors():
        if fault["type"] == "json_invalid":
            detail = f"not JSON: {fault['ctx']['error']}, at character {fault['loc'][-1]}"
            return _response(_Answer(400, "not_json", detail))
    faults = [Fault(_path(fault["loc"]), _words(fault)) for fault in error.errors()]
    return _response(_Answer(422, "invalid", "the request is not valid", faults=faults))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODE_BY_STATUS.get(error.status_code, "refused")
    headers = _allowed(request) if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
    return _response(_Answer(error.status_code, code, str(error.detail), headers=headers))


def _allowed(request: Request) -> dict[str, str]:
    """Every method of the path; the router names only those of the first route that has it."""
    paths = request.app.openapi()["paths"]
    path = request.url.path
    found = [path] if path in paths else [known for known in paths if compile_path(known)[0].fullmatch(path)]
    methods = {method.upper() for known in found for method in paths[known]}
    return {"Allow": ", ".join(sorted(methods))}


async def _on_disconnect(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return disconnect_response()


async def _on_unexpected(request: Request, error: Exception) -> Response:
    _log.error("request failed", extra={"http_route": _route(request), "error": type(error).__name__})
    return unexpected_response()


def _route(request: Request) -> str:
    """The template of the path: what stands in its place may be anything."""
    return str(getattr(request.scope.get("route"), "path", "unmatched"))


def _answer(error: LeadflowError, method: str) -> _Answer:
    match error:
        case Unauthenticated():
            headers = {"WWW-Authenticate": 'Bearer realm="leadflow"'}
            return _Answer(401, "unauthenticated", str(error), headers=headers)
        case Forbidden():
            return _Answer(403, "missing_scope", str(error))
        case InvalidDocument():
            return _Answer(422, error.code, "the document is not valid", faults=error.faults)
        case InvalidInput():
            return _Answer(_STATUS_BY_CODE.get(error.code, 422), error.code, str(error), field=error.field)
        case RateLimited():
            headers = {"Retry-After": str(max(1, ceil(error.retry_after_seconds)))}
            return _Answer(429, "rate_limited", str(error), headers=headers)
        case Refused():
            return _Answer(409, error.code, str(error))
        case TransientError():
            return _unavailable(error, method)
    _log.error("request failed", extra={"error": type(error).__name__})
    return _Answer(500, "internal", "leadflow failed")


def _unavailable(error: TransientError, method: str) -> _Answer:
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    if _outcome_unknown(error, method):
        detail = "leadflow cannot tell whether this took effect: repeat it with the same ids"
        return _Answer(503, "outcome_unknown", detail, headers=headers)
    return _Answer(503, "not_accepted", "leadflow cannot do this now: nothing happened", headers=headers)


def _outcome_unknown(error: TransientError, method: str) -> bool:
    """A write that the database did not confirm may have been made; whoever knows better says so."""
    if isinstance(error, LogUnavailable):
        return error.outcome_unknown
    return isinstance(error, DatabaseUnavailable) and method not in _SAFE_METHODS


def _response(answer: _Answer) -> Response:
    problem = Problem(
        title=HTTPStatus(answer.status).phrase,
        status=answer.status,
        code=answer.code,
        detail=answer.detail,
        field=answer.field,
        errors=[ProblemError(field=fault.path, message=fault.message) for fault in answer.faults] or None,
    )
    # A field's name is the sender's: it may hold a lone surrogate, which UTF-8 cannot.
    body = json.dumps(problem.model_dump(exclude_none=True), ensure_ascii=False).encode("utf-8", "replace")
    return Response(
        body,
        status_code=answer.status,
        headers=dict(answer.headers or {}),
        media_type="application/problem+json",
    )


def _words(fault: Mapping[str, Any]) -> str:
    """What is wrong. Of lengths pydantic speaks otherwise where a text has a check of its own: in items."""
    counted = "characters" if isinstance(fault["input"], str) else "items"
    match fault["type"]:
        case "too_short" | "string_too_short":
            least = fault["ctx"]["min_length"]
            return "must not be empty" if least == 1 else f"must have at least {least} {counted}"
        case "too_long" | "string_too_long":
            return f"must have at most {fault['ctx']['max_length']} {counted}"
    return str(fault["msg"]).removeprefix("Value error, ")


def _path(location: Sequence[int | str]) -> str:
    """`("body", "secrets", 0, "secret")` as `secrets[0].secret`."""
    steps = [step for index, step in enumerate(location) if not (index == 0 and step == "body")]
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return path.removeprefix(".") or "body"
