"""What a command says when it fails."""

import pytest

from services.command.failure import fail
from shared.errors import Fault, InvalidDocument, InvalidInput, LeadflowError, Refused


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(
            InvalidInput("must be one of mautic, typeform", field="kind"),
            "kind: must be one of mautic, typeform",
            id="a message without a subject gets its field",
        ),
        pytest.param(
            InvalidInput("at: must not be before 1970", field="at"),
            "at: must not be before 1970",
            id="one that begins with its field does not get it twice",
        ),
        pytest.param(
            InvalidInput("--basis must be seen or entered", field="basis"),
            "--basis must be seen or entered",
            id="nor does one that names it as an option",
        ),
        pytest.param(
            InvalidInput("must be later", field="at"),
            "at: must be later",
            id="letters within a word are no name: at in later",
        ),
        pytest.param(
            InvalidInput("must have 1 to 512 characters", field="events[0].id"),
            "events[0].id: must have 1 to 512 characters",
            id="a field may be a path",
        ),
        pytest.param(
            InvalidInput("there is no such lead", code="not_found", field="lead_id"),
            "there is no such lead",
            id="what is not there is named by the message",
        ),
        pytest.param(InvalidInput("the file is empty"), "the file is empty", id="there may be no field"),
        pytest.param(Refused("there are 5 already", code="too_many"), "there are 5 already", id="nor any other way"),
    ],
)
def test_a_failure_says_what_is_wrong_and_of_what(
    error: LeadflowError, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="1"):
        fail(error)

    assert capsys.readouterr().err == f"leadflow: {said}\n"


def test_a_document_fails_with_a_line_for_each_fault(capsys: pytest.CaptureFixture[str]) -> None:
    faults = [Fault("stages[0].id", "is missing"), Fault("pipeline", "must be text")]

    with pytest.raises(SystemExit, match="3"):
        fail(InvalidDocument(faults), exit_code=3)

    assert capsys.readouterr().err == "leadflow: stages[0].id: is missing\nleadflow: pipeline: must be text\n"
