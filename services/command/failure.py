"""How a command fails: with what is wrong and where, in a line each."""

import re
import sys
from typing import NoReturn

from shared.errors import InvalidDocument, InvalidInput, LeadflowError


def fail(error: LeadflowError, *, exit_code: int = 1) -> NoReturn:
    """Say what is wrong, and where, on stderr; exit."""
    faults = error.faults if isinstance(error, InvalidDocument) else ()
    if not faults:
        print(f"leadflow: {_told(error)}", file=sys.stderr)
    for fault in faults:
        print(f"leadflow: {fault.path}: {fault.message}", file=sys.stderr)
    raise SystemExit(exit_code)


def _told(error: LeadflowError) -> str:
    """The message, after the field it is about. One that names the field, or says that something is not there, is
    whole without it.
    """
    field = error.field if isinstance(error, InvalidInput) and error.code != "not_found" else None
    if field is None or re.search(rf"(?<!\w){re.escape(field)}(?!\w)", str(error)):
        return str(error)
    return f"{field}: {error}"
