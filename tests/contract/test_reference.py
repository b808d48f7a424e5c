"""The generated references say what the code does, and the check of that finds what was planted."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

import services.command.up  # noqa: F401 - registers the metrics of every service
from shared.events.json import Json, parse_json
from shared.events.topics import ALL_TOPICS

ROOT = Path(__file__).parents[2]
DIRECTORIES = ("docs/reference", "docs/pictures", "shared/events/schema")


def generate(action: str, root: Path, *, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(ROOT / "docs" / "generate.py"), action, "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={"PYTHONHASHSEED": hash_seed})


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for directory in DIRECTORIES:
        shutil.copytree(ROOT / directory, tmp_path / directory)
    return tmp_path


def test_what_is_committed_is_what_the_code_renders() -> None:
    answer = generate("check", ROOT)

    assert answer.returncode == 0, answer.stdout + answer.stderr


PLANTED = {
    "shared/events/schema/lead.merged.v1.json": ('"absorbed"', '"swallowed"'),
    "docs/reference/configuration.md": ("LEADFLOW_PORT", "LEADFLOW_HTTP_PORT"),
    "docs/reference/metrics.md": ("leadflow_build_info", "leadflow_version_info"),
    "docs/reference/openapi.json": ("/v1/events", "/v1/event"),
}


def test_planted_drifts_are_shown_with_their_remedy(copy: Path) -> None:
    for path, (before, after) in PLANTED.items():
        drifted = (copy / path).read_text(encoding="utf-8").replace(before, after)
        (copy / path).write_text(drifted, encoding="utf-8")

    answer = generate("check", copy)

    assert answer.returncode == 1
    assert set(re.findall(r"^--- (\S+) \(committed\)$", answer.stdout, re.MULTILINE)) == PLANTED.keys()
    assert "make docs" in answer.stderr


def test_a_missing_and_a_forgotten_file_are_drift_and_writing_mends_both(copy: Path) -> None:
    (copy / "docs/reference/events.md").unlink()
    (copy / "shared/events/schema/lead.promoted.v1.json").write_text("{}\n", encoding="utf-8")

    before = generate("check", copy)
    written = generate("write", copy)
    after = generate("check", copy)

    assert (before.returncode, written.returncode, after.returncode) == (1, 0, 0)
    assert "events.md" in before.stdout
    assert "lead.promoted.v1.json" in before.stdout
    assert not (copy / "shared/events/schema/lead.promoted.v1.json").exists()


def test_the_same_code_renders_the_same_bytes_whatever_the_order_of_hashes(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        assert generate("write", tmp_path / seed, hash_seed=seed).returncode == 0

    first, second = (
        {path.relative_to(tmp_path / seed): path.read_bytes() for path in (tmp_path / seed).rglob("*.*")}
        for seed in ("1", "2")
    )

    assert first == second


def test_each_metric_that_a_process_exports_is_in_the_reference_and_explained() -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(leadflow_\w+)` \|", page, re.MULTILINE))

    exported = {
        f"{family.name}_total" if family.type == "counter" else family.name: family.documentation
        for family in REGISTRY.collect()
        if family.name.startswith("leadflow_")
    }

    assert listed == exported.keys()
    assert [name for name, explanation in exported.items() if not explanation.endswith(".")] == []


def test_every_reference_within_the_asyncapi_document_leads_somewhere() -> None:
    document = parse_json((ROOT / "docs" / "reference" / "asyncapi.json").read_bytes())
    assert isinstance(document, dict)

    for reference in references(document):
        place: Json = document
        for step in reference.removeprefix("#/").split("/"):
            assert isinstance(place, dict)
            place = place[step]

    channels = document["channels"]
    assert isinstance(channels, dict)
    assert set(channels) == {topic.name for topic in ALL_TOPICS}


def test_no_schema_of_the_api_is_named_after_where_its_class_lies() -> None:
    document = parse_json((ROOT / "docs" / "reference" / "openapi.json").read_bytes())
    assert isinstance(document, dict)
    assert isinstance(components := document["components"], dict)
    assert isinstance(schemas := components["schemas"], dict)

    assert len(schemas) > 100
    assert [name for name in schemas if "__" in name] == []


def references(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)
