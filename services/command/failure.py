"""How a command fails: with what is wrong and where, in a line each."""

import sys
from typing import NoReturn

from shared.errors import InvalidDocument, LeadflowError


def fail(error: LeadflowError, *, exit_code: int = 1) -> NoReturn:
    """Say what is wrong, and where, on stderr; exit."""
    faults = error.faults if isinstance(error, InvalidDocument) else ()
    if not faults:
        print(f"leadflow: {error}", file=sys.stderr)
    for fault in faults:
        print(f"leadflow: {fault.path}: {fault.message}", file=sys.stderr)
    raise SystemExit(exit_code)
