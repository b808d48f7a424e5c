"""The same model with another half-life: which one suits a sales cycle is a question for outcomes to answer."""

from collections.abc import Mapping

from shared.events.json import Json


def with_half_life(document: Json, half_life: str) -> Json:
    """`document` with `half_life` for every score built from events; rules that have their own keep it.

    What is no valid document stays none, and is for whoever reads it to refuse.
    """
    if not isinstance(document, dict) or not isinstance(scores := document.get("scores"), dict):
        return document
    return {**document, "scores": {name: _aged(score, half_life) for name, score in scores.items()}}


def _aged(score: Json, half_life: str) -> Json:
    if not isinstance(score, dict) or not isinstance(rules := score.get("rules"), list):
        return score
    built_from_events = any(isinstance(rule, Mapping) and "on" in rule for rule in rules)
    return {**score, "half_life": half_life} if built_from_events else score
