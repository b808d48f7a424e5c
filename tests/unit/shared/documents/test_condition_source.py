"""A condition written out as source holds exactly where the condition does."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from benchmarks import interpreter
from shared.documents.condition_source import FunctionSource
from shared.documents.conditions import EVENT_FIELDS, NEVER, Clause, ConditionCompiler
from shared.errors import Fault
from shared.events.json import Json
from tests.support.conditions import conditions, properties


def read(document: Json) -> Clause:
    faults: list[Fault] = []
    clause = ConditionCompiler(EVENT_FIELDS, faults).compile(document, "if")
    assert faults == []
    return clause


def written(*clauses: Clause, event_type: str = "a") -> Any:
    """A function of source and properties that answers all `clauses`."""
    source = FunctionSource(("source", "properties"), known={"type": event_type})
    source.share(clauses)
    source.line(f"return [{', '.join(source.condition(clause) for clause in clauses)}]")
    return source.compiled()


@given(st.lists(conditions(), min_size=1, max_size=3), properties(), st.sampled_from(["a", "b"]))
def test_it_answers_as_the_conditions_and_as_the_document_read_by_a_plain_interpreter(
    documents: list[Any], given_properties: dict[str, Any], source: str
) -> None:
    fields: dict[str, Any] = {"type": "a", "source": source, "properties": given_properties}
    clauses = [read(document) for document in documents]

    answers = written(*clauses)(source, given_properties)

    assert answers == [clause(fields) for clause in clauses]
    assert answers == [interpreter.holds(document, fields) for document in documents]


def test_what_a_document_says_never_becomes_source() -> None:
    hostile = "x'); import os; raise SystemExit('"
    clause = read({f"properties.{hostile}": {"in": [hostile]}, "properties.def": {"ne": hostile}})

    assert written(clause)("web", {hostile: hostile}) == [True]
    assert written(clause)("web", {hostile: ""}) == [False]


def test_a_condition_with_faults_never_holds() -> None:
    assert written(NEVER)("web", {}) == [False]


def test_conditions_as_deep_and_as_wide_as_documents_may_be_can_be_written() -> None:
    document: Json = {"any": [{"properties.a": {"eq": number, "ne": -1}} for number in range(2000)]}
    for _ in range(14):
        document = {"not": document}

    assert written(read(document))("web", {"a": 1999}) == [True]
