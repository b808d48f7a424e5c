"""A message in one line, for people. Pure; unknown messages of later releases have a line too."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from shared.events.json import Json

Data = Mapping[str, Json]

_WHO_WIDTH = 30


def line_of(message: Mapping[str, Json]) -> str:
    """When, about whom, what; nothing in it disturbs a terminal."""
    data = _object(message.get("data"))
    kind = _text(message.get("type"))
    tell = _WORDS.get(kind)
    words = tell(data) if tell else kind
    when, who = _moment(message.get("time")), _who(data, _text(message.get("subject")))
    return _printable(f"{when}  {who:<{_WHO_WIDTH}}  {words}")


def _score_changed(data: Data) -> str:
    before, now = _object(data.get("previous")), _object(data.get("current"))
    old, new = _object(before.get("scores")), _object(now.get("scores"))
    changes = [_change(name, old.get(name), value) for name, value in new.items() if value != old.get(name)]
    bands = [f"{name} {_text(band)}" for name, band in _object(now.get("bands")).items()]
    if now.get("grade") is not None:
        bands.append(f"grade {_text(now['grade'])}")
    standing = f" ({', '.join(bands)})" if bands else ""
    return f"scores {', '.join(changes) or 'unchanged'}{standing}{_because(data)}"


def _change(name: str, old: Json, new: Json) -> str:
    return f"{name} {_text(new)}" if old is None else f"{name} {_text(old)} -> {_text(new)}"


def _because(data: Data) -> str:
    events = data.get("events")
    types = [_text(_object(event).get("type")) for event in events] if isinstance(events, list) else []
    return f", by {', '.join(dict.fromkeys(types))}" if types else f", by {_text(data.get('cause'))}"


def _threshold(direction: str) -> Callable[[Data], str]:
    def words(data: Data) -> str:
        at = f" at {_text(data['score'])}" if data.get("score") is not None else ""
        return f"threshold {direction} {_text(data.get('threshold'))}{at}{_because(data)}"

    return words


def _stage_changed(data: Data) -> str:
    origin = f"{_text(data['from_stage'])} -> " if data.get("from_stage") else ""
    by = _text(data.get("actor") or data.get("by"))
    why = f": {_text(data['why'])}" if data.get("why") else ""
    return f"stage {origin}{_text(data.get('to_stage'))}, by {by}{why}"


def _stalled(data: Data) -> str:
    return f"stalled in stage {_text(data.get('stage'))} since {_moment(data.get('since'))}"


def _verdict(data: Data) -> str:
    framework = f" by {_text(data['framework'])}" if data.get("framework") else ""
    reason = f": {_text(data['reason'])}" if data.get("reason") else ""
    return f"qualification {_text(data.get('previous'))} -> {_text(data.get('state'))}{framework}{reason}"


def _merged(data: Data) -> str:
    return f"has absorbed lead {_text(data.get('absorbed'))}"


def _unmerged(data: Data) -> str:
    is_back = data.get("role") == "restored"
    told = "is no longer part of lead" if is_back else "is no longer one with lead"
    return f"{told} {_text(data.get('other'))}, by {_text(data.get('actor'))}: {_text(data.get('reason'))}"


def _erased(data: Data) -> str:
    absorbed = data.get("absorbed")
    others = f", and {len(absorbed)} absorbed by it" if isinstance(absorbed, list) and absorbed else ""
    return f"was erased{others}"


_WORDS: Final[Mapping[str, Callable[[Data], str]]] = {
    "lead.score_changed": _score_changed,
    "lead.threshold_entered": _threshold("entered"),
    "lead.threshold_left": _threshold("left"),
    "lead.stage_changed": _stage_changed,
    "lead.stalled": _stalled,
    "lead.qualified": _verdict,
    "lead.disqualified": _verdict,
    "lead.qualification_reopened": _verdict,
    "lead.merged": _merged,
    "lead.unmerged": _unmerged,
    "lead.erased": _erased,
}


def _who(data: Data, subject: str) -> str:
    emails = _object(data.get("lead")).get("emails")
    return _text(emails[0]) if isinstance(emails, list) and emails else subject


def _object(value: Json) -> Data:
    return value if isinstance(value, dict) else {}


def _text(value: Json) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else str(value)


def _moment(value: Json) -> str:
    try:
        return f"{datetime.fromisoformat(str(value)).astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return _text(value)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
