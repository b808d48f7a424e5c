"""docs/import.md says what the command does: its options, its mapping, its codes."""

import re

from services.command.import_ import import_
from services.ingest.importing.mapping import parse_mapping
from services.ingest.importing.values import Kind, Others
from shared.documents.yaml_text import read_yaml
from tests.support.datasets import REPOSITORY

PAGE = (REPOSITORY / "docs" / "import.md").read_text(encoding="utf-8")


def test_every_option_is_documented_and_no_other() -> None:
    names = {name.strip("_").replace("_", "-") for name in import_.__annotations__ if name not in {"file", "return"}}

    assert set(re.findall(r"--([a-z][a-z-]+)", PAGE)) == names


def test_the_mapping_on_the_page_is_a_good_one() -> None:
    [document] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    assert [event.name for event in parse_mapping(read_yaml(document)).events] == ["lead_captured", "deal_closed"]


def test_every_kind_of_value_is_documented() -> None:
    for word in {*Kind, *Others} - {Kind.AS_IS, Others.KEEP}:
        assert f"`{word}`" in PAGE


def test_every_example_is_linked_from_its_directory() -> None:
    assert (REPOSITORY / "docs" / re.findall(r"\]\((\.\./deploy/examples/import)\)", PAGE)[0]).is_dir()
