"""What changed between two model documents, in the words of the model: for whoever reviews or publishes one.

A document is read as parts (a rule, a group, a band ...), each with what it says. Spelling is no difference: `14d`
or `2w`, a default left out or written down, the order of rules.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from shared.documents.durations import NONE, duration_us
from shared.events.json import Json

Change: TypeAlias = Literal["added", "removed", "changed", "moved"]

_LOGIC: Final = ("all", "any")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was. `subject` is the part in words; `old` and `new` what it said and says."""

    change: Change
    path: str
    subject: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        if self.change == "changed":
            return f"{self.subject}: {self.old} -> {self.new}"
        if self.change == "moved":
            return f"{self.subject} moved from {self.old} to {self.new}"
        told = self.new if self.change == "added" else self.old
        return f"{self.subject} {self.change}" + (f": {told}" if told else "")


class _Said(NamedTuple):
    """A value as it compares, and as people read it; `inherited`: another part says it."""

    value: object
    text: str
    inherited: bool = False


class _Part(NamedTuple):
    """A part of a document: its path, its name in words, and what it says."""

    path: str
    words: str
    says: Mapping[str, _Said]


_Key: TypeAlias = tuple[str, ...]
_Parts: TypeAlias = Mapping[_Key, _Part]


def differences(old: Json, new: Json) -> tuple[Difference, ...]:
    """How `new` differs from `old`, in the order of the documents. Both must be valid models."""
    before, after = dict(_parts(old)), dict(_parts(new))
    moves = _moves(before, after)
    found: list[Difference] = []
    for key, part in after.items():
        origin = moves.get(key, key)
        if origin not in before:
            found.append(Difference("added", part.path, part.words, None, _summary(part)))
            continue
        if origin != key:
            found.append(Difference("moved", part.path, f"rule {key[2]}", f"score {origin[1]}", f"score {key[1]}"))
        found.extend(_changes(before[origin], part, moved=origin != key))
    gone = [part for key, part in before.items() if key not in after and key not in moves.values()]
    return (*found, *(Difference("removed", part.path, part.words, _summary(part), None) for part in gone))


def _moves(before: _Parts, after: _Parts) -> dict[_Key, _Key]:
    """Where a rule of one score came from that has been another score's, by its new key."""
    gone = {key[2]: key for key in before if key[0] == "rule" and key not in after}
    return {key: gone[key[2]] for key in after if key[0] == "rule" and key not in before and key[2] in gone}


def _changes(old: _Part, new: _Part, *, moved: bool) -> Iterator[Difference]:
    for name in dict.fromkeys([*old.says, *new.says]):
        was, is_ = old.says.get(name), new.says.get(name)
        if was and is_ and (was.value == is_.value or (was.inherited and is_.inherited and not moved)):
            continue
        texts = was.text if was else NONE, is_.text if is_ else NONE
        if name == "group":
            yield Difference("moved", f"{new.path}.group", new.words, *map(_in_group, texts))
        else:
            yield Difference("changed", f"{new.path}.{name}", f"{new.words}, {name.replace('_', ' ')}", *texts)


def _in_group(name: str) -> str:
    return "no group" if name == NONE else f"group {name}"


def _summary(part: _Part) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {said.text}" for name, said in part.says.items() if not said.inherited
    )


def _parts(document: Json) -> Iterator[tuple[_Key, _Part]]:
    model = _mapping(document)
    yield ("model",), _Part("", "the model", _texts(model, "model", "description"))
    for name, score in _named(model, "scores"):
        yield from _score(name, score)
    for score_name, bands in _named(model, "bands"):
        for band, bound in bands.items():
            path, words = f"bands.{score_name}.{band}", f"band {band} of {score_name}"
            yield ("band", score_name, band), _Part(path, words, {"from": _plain(bound)})
    if "grade" in model:
        first, second = _listed(model["grade"])
        yield ("grade",), _Part("grade", "the grade", {"of": _Said((first, second), f"{first} and {second}")})
    for name, threshold in _named(model, "thresholds"):
        yield ("threshold", name), _Part(f"thresholds.{name}", f"threshold {name}", _threshold(threshold))


def _score(name: str, score: Mapping[str, Json]) -> Iterator[tuple[_Key, _Part]]:
    path = f"scores.{name}"
    bounds = {key: _plain(score.get(key, default)) for key, default in (("min", 0), ("max", NONE))}
    if "combine" in score:
        yield ("score", name), _Part(path, f"score {name}", {"kind": _plain("combined"), **bounds})
        for part, weight in _mapping(score["combine"]).items():
            words = f"weight of {part} in score {name}"
            yield ("weight", name, part), _Part(f"{path}.combine.{part}", words, {"weight": _plain(weight)})
        return
    rules = [_mapping(rule) for rule in _listed(score["rules"])]
    by_events = any("on" in rule for rule in rules)
    half_life = {"half_life": _duration(score.get("half_life", NONE))} if by_events else {}
    kind = _plain("by events" if by_events else "by attributes")
    yield ("score", name), _Part(path, f"score {name}", {"kind": kind, **bounds, **half_life})
    for group, limits in _named(score, "groups"):
        says = {key: _plain(limits.get(key, NONE)) for key in ("min", "max")}
        yield ("group", name, group), _Part(f"{path}.groups.{group}", f"group {group} of {name}", says)
    for rule in rules:
        id_ = str(rule["id"])
        yield (
            ("rule", name, id_),
            _Part(f"{path}.rules.{id_}", f"rule {id_} of {name}", dict(_rule(rule, score.get("half_life", NONE)))),
        )


def _rule(rule: Mapping[str, Json], half_life: Json) -> Iterator[tuple[str, _Said]]:
    """What a rule says; a half-life that is its score's, taken or written again, is the score's to tell."""
    yield "points", _plain(rule["points"])
    if "on" in rule:
        yield "on", _set(rule["on"])
    if "if" in rule:
        yield "if", _Said(_condition(rule["if"]), _text(rule["if"]))
    for key in ("group", "description"):
        if key in rule:
            yield key, _plain(rule[key])
    if "on" in rule:
        own, scores = _duration(rule.get("half_life", half_life)), _duration(half_life)
        yield "half_life", own if own.value != scores.value else _Said(own.value, f"{own.text} (its score's)", True)
    if rule.get("expires_after", NONE) != NONE:
        yield "expires_after", _duration(rule["expires_after"])
    if "limit" in rule:
        yield "limit", _limit(_mapping(rule["limit"]))


def _limit(limit: Mapping[str, Json]) -> _Said:
    by = f" by {limit['by']}" if "by" in limit else ""
    return _Said(dict(limit), f"{limit['count']} per {limit['per']}{by}")


def _threshold(threshold: Mapping[str, Json]) -> dict[str, _Said]:
    cooldown = {"cooldown": _duration(threshold.get("cooldown", NONE))}
    if "grade" in threshold:
        return {"grade": _set(threshold["grade"]), **cooldown}
    leave = threshold.get("exit", threshold["enter"])
    levels = {"score": threshold["score"], "enter": threshold["enter"], "exit": leave}
    return {**{name: _plain(value) for name, value in levels.items()}, **cooldown}


def _condition(condition: Json) -> object:
    """A condition in one spelling: a bare value is a test for equality."""
    found: dict[str, object] = {}
    for key, value in _mapping(condition).items():
        if key in _LOGIC:
            found[key] = [_condition(item) for item in _listed(value)]
        elif key == "not":
            found[key] = _condition(value)
        else:
            tests = value if isinstance(value, dict) else {"eq": value}
            found[key] = {operator: _typed(argument) for operator, argument in tests.items()}
    return found


def _typed(value: Json) -> object:
    """`value` so that 1 and true differ, as they do to a condition."""
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return (isinstance(value, bool), value)


def _duration(text: Json) -> _Said:
    return _Said(None if text == NONE else duration_us(text), str(text))


def _set(names: Json) -> _Said:
    listed = names if isinstance(names, list) else [names]
    return _Said(frozenset(map(str, listed)), ", ".join(map(str, listed)))


def _plain(value: Json) -> _Said:
    return _Said(value, f"{value:g}" if isinstance(value, float) else str(value))


def _text(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _texts(section: Mapping[str, Json], *keys: str) -> dict[str, _Said]:
    return {{"model": "name"}.get(key, key): _plain(section[key]) for key in keys if section.get(key)}


def _named(section: Mapping[str, Json], key: str) -> Iterator[tuple[str, Mapping[str, Json]]]:
    for name, value in _mapping(section.get(key, {})).items():
        yield name, _mapping(value)


def _mapping(value: Json) -> Mapping[str, Json]:
    assert isinstance(value, dict), "a valid model has a mapping here"
    return value


def _listed(value: Json) -> Sequence[Json]:
    assert isinstance(value, list), "a valid model has a list here"
    return value
