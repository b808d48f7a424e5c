"""Scores computed from scratch, as plainly as the scoring page says it; shares no code with the core.

Slow, without state, and written to be compared with: every shortcut of the core must agree with this.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

Document = Mapping[str, Any]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MISSING = object()


def scores_from_scratch(model: Document, events: Sequence[Document], at: datetime) -> dict[str, float]:
    """Every score at `at`, unrounded, of a lead to whom `events` (in wire form) happened."""
    history = _accepted(events)
    past = [(moment, event) for moment, event in history if moment <= at]
    attributes: dict[str, Any] = {}
    for _, event in past:
        attributes.update(event.get("attributes") or {})
    scores: dict[str, float] = {}
    for name, score in model["scores"].items():
        if "combine" not in score:
            scores[name] = _built(name, score, history, attributes, at)
    for name, score in model["scores"].items():
        if "combine" in score:
            total = sum(scores[part] * weight for part, weight in score["combine"].items())
            scores[name] = _clamped(total, score.get("min", 0), score.get("max"))
    return scores


def _accepted(events: Sequence[Document]) -> list[tuple[datetime, Document]]:
    """What counts: each event once, none that is retracted, by (time, id)."""
    unique = {(event["source"], event["id"]): event for event in events}
    retracted = {
        (event["source"], event["properties"].get("event_id"))
        for event in unique.values()
        if event["type"] == "event_voided"
    }
    kept = [(_happened(event), event) for key, event in unique.items() if key not in retracted]
    return sorted(kept, key=lambda item: (item[0], item[1]["id"], item[1]["source"]))


def _happened(event: Document) -> datetime:
    occurred = datetime.fromisoformat(event["occurred_at"])
    return min(occurred, datetime.fromisoformat(event.get("received_at", event["occurred_at"])))


def _built(
    name: str,
    score: Document,
    history: Sequence[tuple[datetime, Document]],
    attributes: Mapping[str, Any],
    at: datetime,
) -> float:
    wiped = _wiped_until(name, history, at)
    groups: dict[str | None, float] = {}
    for rule in score["rules"]:
        if "on" in rule:
            worth = _worth_of_rule(rule, score.get("half_life"), history, wiped, at)
        else:
            worth = rule["points"] if _holds(rule["if"], {"attributes": attributes}) else 0
        groups[rule.get("group")] = groups.get(rule.get("group"), 0) + worth
    for moment, event in history:
        given = event["properties"]
        if event["type"] == "score_adjusted" and given["score"] == name and moment > wiped:
            half_life, expiry = given.get("half_life"), given.get("expires_after")
            groups[None] = groups.get(None, 0) + _worth(given["points"], moment, half_life, expiry, at)
    limits = score.get("groups", {})
    total = sum(
        worth if group is None else _clamped(worth, limits[group].get("min"), limits[group].get("max"))
        for group, worth in groups.items()
    )
    return _clamped(total, score.get("min", 0), score.get("max"))


def _wiped_until(name: str, history: Sequence[tuple[datetime, Document]], at: datetime) -> datetime:
    resets = [
        moment
        for moment, event in history
        if event["type"] == "score_reset" and event["properties"].get("score") == name and moment <= at
    ]
    return max(resets, default=datetime.min.replace(tzinfo=UTC))


def _worth_of_rule(
    rule: Document,
    half_life: str | None,
    history: Sequence[tuple[datetime, Document]],
    wiped: datetime,
    at: datetime,
) -> float:
    types = rule["on"] if isinstance(rule["on"], list) else [rule["on"]]
    seen: dict[object, int] = {}
    total = 0.0
    for moment, event in history:
        if event["type"] not in types or not _holds(rule.get("if", {}), event):
            continue
        limit = rule.get("limit", {"count": len(history), "per": "ever"})
        by = _found(event, limit["by"]) if "by" in limit else _MISSING
        period = (_period(limit["per"], moment), _identity(by))
        seen[period] = seen.get(period, 0) + 1
        if seen[period] <= limit["count"] and moment > wiped:
            total += _worth(rule["points"], moment, rule.get("half_life", half_life), rule.get("expires_after"), at)
    return total


def _worth(points: float, moment: datetime, half_life: str | None, expiry: str | None, at: datetime) -> float:
    if moment > at:
        return 0.0
    if expiry not in {None, "none"}:
        end_of_day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        if at >= end_of_day + timedelta(seconds=_seconds(str(expiry))):
            return 0.0
    if half_life in {None, "none"}:
        return points
    return float(points * 2 ** (-(at - moment).total_seconds() / _seconds(str(half_life))))


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def _period(per: str, moment: datetime) -> object:
    day = moment.astimezone(UTC)
    return {
        "hour": (day.date(), day.hour),
        "day": day.date(),
        "week": day.isocalendar()[:2],
        "month": (day.year, day.month),
        "ever": None,
    }[per]


def _clamped(value: float, low: float | str | None, high: float | str | None) -> float:
    if high not in {None, "none"} and value > float(high or 0):
        value = float(high or 0)
    return float(low or 0) if low not in {None, "none"} and value < float(low or 0) else value


def _found(fields: Any, path: str) -> Any:
    for step in path.split("."):
        if not isinstance(fields, Mapping) or step not in fields:
            return _MISSING
        fields = fields[step]
    return fields


def _holds(condition: Document, fields: Document) -> bool:
    return all(_clause(key, wanted, fields) for key, wanted in condition.items())


def _clause(key: str, wanted: Any, fields: Document) -> bool:
    if key == "all":
        return all(_holds(part, fields) for part in wanted)
    if key == "any":
        return any(_holds(part, fields) for part in wanted)
    if key == "not":
        return not _holds(wanted, fields)
    tests = wanted if isinstance(wanted, dict) else {"eq": wanted}
    return all(_passes(name, argument, _found(fields, key)) for name, argument in tests.items())


def _passes(name: str, argument: Any, value: Any) -> bool:
    if value is _MISSING:
        return name in {"ne", "not_in"} or (name == "exists" and argument is False)
    match name:
        case "exists":
            return argument is True
        case "eq" | "ne":
            return _same(value, argument) is (name == "eq")
        case "in" | "not_in":
            return any(_same(value, each) for each in argument) is (name == "in")
        case "contains" if isinstance(value, list):
            return any(_same(each, argument) for each in value)
        case "contains" | "starts_with" | "ends_with" | "matches":
            return isinstance(value, str) and isinstance(argument, str) and _text(name, value, argument)
        case _:
            return _kind(value) == _kind(argument) and _compared(name, value, argument)


def _text(name: str, value: str, argument: str) -> bool:
    return {
        "contains": lambda: argument in value,
        "starts_with": lambda: value.startswith(argument),
        "ends_with": lambda: value.endswith(argument),
        "matches": lambda: re.search(argument, value, re.ASCII) is not None,
    }[name]()


def _identity(value: Any) -> object:
    """Equal for values that conditions call equal: 1 and 1.0 are one number, 1 and true are two values."""
    if isinstance(value, Mapping | list):
        return _kind(value), json.dumps(value, sort_keys=True)
    return _kind(value), value


def _compared(name: str, value: Any, argument: Any) -> bool:
    return bool(
        {"gt": value > argument, "gte": value >= argument, "lt": value < argument, "lte": value <= argument}[name]
    )


def _same(one: Any, other: Any) -> bool:
    return bool(_kind(one) == _kind(other) and one == other)


def _kind(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "number" if is_number else type(value).__name__
