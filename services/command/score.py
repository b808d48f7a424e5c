"""`leadflow score`: the scoring core offline, without a database or a log."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import asdict
from pydantic_core import to_json

from services.command.failure import fail
from services.scorer.domain.counting.matching import state_of
from services.scorer.domain.events.text import read_events, read_moment
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.models.model import Model
from services.scorer.domain.scores.standing import standing_of
from services.scorer.domain.states.state import combine_all
from shared.documents.yaml_text import read_yaml
from shared.errors import InvalidInput, LeadflowError


def score(
    model: Annotated[
        Path, typer.Argument(help="Model document, YAML or JSON.", exists=True, dir_okay=False, metavar="MODEL")
    ],
    events: Annotated[
        Path,
        typer.Argument(
            help="Events of one lead: a JSON array or one object per line; - reads standard input.",
            metavar="EVENTS",
        ),
    ],
    at: Annotated[list[str], typer.Option(help="A time with its zone, 2026-03-02T10:00:00Z; may be repeated.")],
) -> None:
    """Score events offline: one JSON line per time, with the scores, the bands and the grade."""
    try:
        for line in _lines(_model(model), _bytes(events), at):
            print(line)
    except LeadflowError as error:
        fail(error)


def _lines(model: Model, body: bytes, times: list[str]) -> list[str]:
    moments = [read_moment(text, "--at") for text in times]
    state = combine_all(state_of(model, event) for event in read_events(body))
    standings = [standing_of(model, state, moment) for moment in moments]
    return [
        to_json({"at": text, **asdict(standing)}).decode() for text, standing in zip(times, standings, strict=True)
    ]


def _model(file: Path) -> Model:
    try:
        return parse_model(read_yaml(file.read_text(encoding="utf-8")))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} is not UTF-8 text") from error


def _bytes(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file}: {error.strerror}") from error
