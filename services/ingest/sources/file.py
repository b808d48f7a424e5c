"""Sources as a file that a team reviews. It names the files of secrets and never holds one.

sources:
- id: newsletter
kind: sendgrid
secret_files: [sendgrid.pub]
event_names: {}
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from services.ingest.kinds.kind import Source
from services.ingest.sources.checking import SourceRequest, new_source, with_new_secret
from shared.documents.reading import Section
from shared.errors import Fault, InvalidDocument, InvalidInput
from shared.events.json import Json

_KEEP_OLD_SECRET = timedelta(days=1)


def parse_source_file(document: Json, read_secret: Callable[[str], str]) -> tuple[SourceRequest, ...]:
    """The sources that a document describes; `read_secret` gives what stands in a file, or raises ValueError.

    Raises InvalidDocument with every fault of form; what a kind demands is checked by `applied`.
    """
    faults: list[Fault] = []
    root = Section(document, "", faults)
    requests = tuple(_request(section, read_secret) for section in root.items("sources"))
    root.finish()
    counted = Counter(request.id for request in requests)
    faults += [Fault("sources", f"{name} is there twice") for name, number in counted.items() if number > 1]
    if faults:
        raise InvalidDocument(faults)
    return requests


def applied(request: SourceRequest, known: Source | None, *, workspace: str, now: datetime) -> Source:
    """The source as the file wants it: new, or `known` with its meaning and the secrets it has not got yet.

    A secret that the file no longer names stays until a rotation ends it. Raises InvalidInput naming the field.
    """
    wanted = new_source(request, workspace=workspace, now=now)
    if known is None:
        return wanted
    if known.kind != wanted.kind:
        raise InvalidInput(f"is of kind {known.kind}, which cannot change", code="conflict", field=f"{known.id}.kind")
    changed = replace(known, event_names=wanted.event_names, public_url=wanted.public_url, time_zone=wanted.time_zone)
    held = {secret.secret for secret in known.secrets}
    for secret in reversed(wanted.secrets):
        if secret.secret not in held:
            changed = with_new_secret(changed, secret.secret, now=now, keep_old=_KEEP_OLD_SECRET)
    return changed


def _request(section: Section, read_secret: Callable[[str], str]) -> SourceRequest:
    request = SourceRequest(
        id=section.name("id"),
        kind=section.name("kind"),
        secrets=section.parsed("secret_files", lambda files: _secrets(files, read_secret), ()),
        public_url=section.text("public_url") or None,
        event_names=section.parsed("event_names", _names, {}),
        time_zone=section.text("time_zone") or "UTC",
        tolerance_seconds=section.count("tolerance_seconds") if section.has("tolerance_seconds") else None,
    )
    section.finish()
    return request


def _secrets(files: Json, read_secret: Callable[[str], str]) -> Sequence[str]:
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        raise ValueError("must be a list of files")
    return tuple(read_secret(str(file)).strip() for file in files)


def _names(names: Json) -> dict[str, str]:
    if not isinstance(names, dict):
        raise ValueError("must map names of the platform to engagement types")  # noqa: TRY004 - a fault of the file
    return {name: str(event_type) for name, event_type in names.items()}
