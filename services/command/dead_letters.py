"""`leadflow dead-letters`: what no service could handle, and sending it back once the reason is gone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from services.command.letters import (
    TOPICS,
    Letters,
    Listed,
    Place,
    found_at,
    newest,
    not_sent_back,
    place_of,
    summary,
)
from services.command.payload import one_line, payload_of
from services.command.runtime import database_and_log, run_async
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.errors import InvalidInput, LogUnavailable, Refused
from shared.log.letter_replays import replay
from shared.log.protocol import Log
from shared.settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="What no service could handle: list, show, replay."
)

_MOST = 1_000
_COLUMNS = 140
_REMEDIES = {"already_replayed": " (--again sends it once more; what counted once does not count twice)"}

LetterId = Annotated[str, typer.Argument(help="TOPIC:PARTITION:OFFSET, as `list` shows it.")]
OnTopic = Annotated[str | None, typer.Option("--topic", help=f"One of {', '.join(TOPICS)}.")]
ForReason = Annotated[str | None, typer.Option("--reason", help="Those for this reason only.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@dataclass(frozen=True, slots=True)
class _Outcome:
    place: Place
    sent_back: bool
    words: str


@app.command("list")
def list_letters(
    topic: OnTopic = None,
    reason: ForReason = None,
    limit: Annotated[int, typer.Option(min=1, max=_MOST, help="At most so many, the newest.")] = 50,
    before: Annotated[str | None, typer.Option(help="Older than this letter; for the next page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Dead letters, the newest first."""
    upto = None if before is None else place_of(before)
    topics = _chosen(upto.partition.topic if upto and topic is None else topic)

    async def work() -> list[Listed]:
        async with database_and_log(Settings()) as (database, log):
            return await newest(database, log, topics, reason=reason, limit=limit, before=upto)

    found = run_async(work())
    if as_json:
        print(json.dumps([summary(one) for one in found], indent=2))
        return
    if not found:
        print("no dead letters")
        return
    table = Table(Column("letter", no_wrap=True), "set aside (UTC)", "reason", "from", "bytes", "replayed")
    for one in found:
        row = summary(one)
        table.add_row(
            *(str(row[name] or "") for name in ("letter", "set_aside_at", "reason", "from", "bytes", "replay"))
        )
    _print(table)


@app.command()
def show(letter: LetterId, as_json: AsJson = False) -> None:
    """One letter: why nobody could handle it, its headers, and its bytes as JSON, as text or in hex."""
    place = place_of(letter)

    async def work() -> Listed:
        async with database_and_log(Settings()) as (database, log):
            return await found_at(database, log, place)

    one = run_async(work())
    record, payload = one.letter.record, payload_of(one.letter.record.value)
    if as_json:
        headers = {name: one_line(value) for name, value in record.headers.items()}
        shown = {"key": one_line(record.key), "headers": headers, "form": payload.form, "payload": payload.text}
        print(json.dumps({**summary(one), **shown}, indent=2))
        return
    print(f"{one.place}: {one.letter.reason}")
    row = summary(one)
    print(f"set aside at {row['set_aside_at']} UTC, from {row['from'] or 'an unknown place'}")
    print(f"replayed: {row['replay'] or 'never'}")
    print(f"key: {one_line(record.key)}")
    for name, value in record.headers.items():
        print(f"{name}: {one_line(value)}")
    if one.letter.is_erased:
        print("what it held was erased with the lead that it named; it cannot be replayed")
        return
    if len(record.value) < one.letter.whole_bytes:
        print(f"the first {len(record.value)} of {one.letter.whole_bytes} bytes; it cannot be replayed")
    print(f"\n{payload.text}")


@app.command("replay")
def send_back(
    letters: Annotated[
        list[str] | None,
        typer.Argument(help="These letters; none: those of --topic that were not yet sent back, up to 1,000."),
    ] = None,
    topic: OnTopic = None,
    reason: ForReason = None,
    again: Annotated[bool, typer.Option("--again", help="Also what was sent back before; needs letters.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before many are sent.")] = False,
) -> None:
    """Send letters back to the topics they came from, as they were; each once."""
    if bool(letters) == bool(topic):
        raise InvalidInput("give letters, or --topic for all of it, and not both", field="letters")
    if again and not letters:
        raise InvalidInput("--again needs letters by their ids", field="again")
    if letters and reason:
        raise InvalidInput("--reason goes with --topic", field="reason")
    places = [place_of(letter) for letter in letters or ()]

    async def work() -> list[_Outcome]:
        async with database_and_log(Settings()) as (database, log):
            chosen = places
            if topic:
                (source,) = _chosen(topic)
                chosen = await not_sent_back(database, log, source, reason=reason, limit=_MOST)
                _confirm(len(chosen), yes=yes)
            return await _all_sent_back(database, log, chosen, again=again)

    outcomes = run_async(work())
    for outcome in outcomes:
        print(f"{outcome.place}: {outcome.words}")
    failed = sum(not outcome.sent_back for outcome in outcomes)
    print(f"{len(outcomes) - failed} sent back, {failed} not")
    if failed:
        raise SystemExit(1)


async def _all_sent_back(database: Database, log: Log, chosen: Sequence[Place], *, again: bool) -> list[_Outcome]:
    """Each partition's oldest first, whatever their order; what became of them in the order in which they came."""
    letters = Letters(database, log, chosen)
    outcomes = [await _sent_back(database, log, letters, place, again=again) for place in sorted(chosen)]
    turns = {place: turn for turn, place in enumerate(chosen)}
    return sorted(outcomes, key=lambda outcome: turns[outcome.place])


async def _sent_back(database: Database, log: Log, letters: Letters, place: Place, *, again: bool) -> _Outcome:
    try:
        letter = await letters.at(place)
        topic = await replay(database, log, letter, now=SystemClock().now(), again=again)
    except (Refused, InvalidInput) as error:
        return _Outcome(place, sent_back=False, words=f"{error}{_REMEDIES.get(error.code, '')}")
    except LogUnavailable as error:
        doubt = "; it may have gone all the same" if error.outcome_unknown else ""
        return _Outcome(place, sent_back=False, words=f"{error}{doubt}")
    return _Outcome(place, sent_back=True, words=f"{letter.whole_bytes} bytes to {topic}")


def _confirm(letters: int, *, yes: bool) -> None:
    if letters and not yes:
        typer.confirm(f"Send {letters} letters back?", abort=True, err=True)


def _chosen(topic: str | None) -> Sequence[str]:
    if topic is not None and topic not in TOPICS:
        raise InvalidInput(f"must be one of {', '.join(TOPICS)}", field="topic")
    return TOPICS if topic is None else (topic,)


def _print(table: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = _COLUMNS
    console.print(table)
