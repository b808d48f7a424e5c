"""`leadflow models test`: a model against the golden histories beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from services.command.failure import fail
from services.command.model_source import read_document
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.models.model import Model
from services.scorer.domain.what_if.golden import Case, Mismatch, mismatches, parse_golden
from shared.errors import Fault, InvalidDocument, LeadflowError


def model_tests(
    model: Annotated[Path, typer.Argument(help="Model document, YAML or JSON.", exists=True, dir_okay=False)],
    golden: Annotated[
        list[Path] | None,
        typer.Argument(help="Files with golden histories; MODEL.golden.yaml beside the model when left out."),
    ] = None,
) -> None:
    """Run golden histories against a model: a line per case, and what differs; exit 1 if any fails."""
    if not run_tests(model, golden or [default_golden(model)]):
        raise SystemExit(1)


def default_golden(model: Path) -> Path:
    """Where the golden histories of a model lie unless somebody says otherwise."""
    return model.with_suffix(f".golden{model.suffix}")


def run_tests(model: Path, golden: Sequence[Path]) -> bool:
    """Whether `model` passes every case of every file; tells of each."""
    try:
        compiled = parse_model(read_document(model))
        cases = [case for file in golden for case in _cases(file)]
    except LeadflowError as error:
        fail(error)
    failed = sum(not _passes(compiled, case) for case in cases)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return not failed


def _cases(file: Path) -> tuple[Case, ...]:
    try:
        return parse_golden(read_document(file))
    except InvalidDocument as error:
        raise InvalidDocument([Fault(f"{file}: {fault.path}", fault.message) for fault in error.faults]) from error


def _passes(model: Model, case: Case) -> bool:
    found = mismatches(model, case)
    print(f"{'FAIL' if found else 'ok  '} {case.name}")
    for mismatch in found:
        _tell(mismatch)
    return not found


def _tell(mismatch: Mismatch) -> None:
    at = mismatch.at.isoformat().replace("+00:00", "Z")
    print(f"     {at} {mismatch.what}: expected {mismatch.expected}, found {mismatch.found}")
    for entry in mismatch.ledger:
        print(f"         {entry.worth:+9.2f}  {entry.name or entry.kind}: {entry.reason}")
