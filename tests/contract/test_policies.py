"""Image and manifests, held to the policies that checkov knows; what is left out, and why, is in deploy/checkov.yaml.

checkov has no policies for compose files: tests/contract/test_compose.py has the rules for that.
"""

import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.events.json import parse_json
from tests.support.kustomize import KUBERNETES, ROOT, Manifest, rendered

pytestmark = pytest.mark.timeout(600)

CHECKOV = ROOT / ".cache" / "policies" / "bin" / "checkov"
CONFIGURATION = ROOT / "deploy" / "checkov.yaml"
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")

Found = dict[str, set[str]]

# In the image: what is there, what is put in its place, and the policy that must tell.
FAULTS_OF_THE_IMAGE = (
    ("USER 10001:10001", "USER root", "CKV_DOCKER_8"),
    ("COPY requirements.lock ./", "ADD requirements.lock ./", "CKV_DOCKER_4"),
    ("EXPOSE 8080", "EXPOSE 22", "CKV_DOCKER_1"),
    ("python:3.11-slim-bookworm AS runtime", "python:latest AS runtime", "CKV_DOCKER_7"),
)
# In the pods of the scorer: where, what, and the policy that must tell.
FAULTS_OF_THE_MANIFESTS: tuple[tuple[tuple[str, ...], object, str], ...] = (
    (("hostNetwork",), True, "CKV_K8S_19"),
    (("hostPID",), True, "CKV_K8S_17"),
    (("containers", "securityContext", "privileged"), True, "CKV_K8S_16"),
    (("containers", "securityContext", "readOnlyRootFilesystem"), False, "CKV_K8S_22"),
    (("containers", "securityContext", "allowPrivilegeEscalation"), True, "CKV_K8S_20"),
    (("containers", "resources", "limits"), {}, "CKV_K8S_13"),
    (("containers", "livenessProbe"), None, "CKV_K8S_8"),
)


@pytest.fixture(scope="module")
def checkov() -> Path:
    if not CHECKOV.exists():
        reason = "checkov is not installed: `make policies` installs it"
        if os.environ.get("LEADFLOW_TEST_REQUIRE_TOOLS") == "1":  # noqa: TID251 - tests have no settings
            pytest.fail(reason)
        pytest.skip(reason)
    return CHECKOV


@pytest.fixture(scope="module")
def found(checkov: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """What each policy has to say of `ours` and of `planted`: once for all tests, as checkov starts slowly."""
    directory = tmp_path_factory.mktemp("policies")
    # Not the dashboards and rules: they are long, and nothing there is a matter of policy.
    ours = [manifest for manifest in rendered(KUBERNETES / "overlays" / "example") if manifest["kind"] != "ConfigMap"]
    (scorer,) = (manifest for manifest in ours if manifest["kind"] == "StatefulSet")
    write(directory / "ours", DOCKERFILE, ours)
    write(directory / "planted", planted_image(), [planted(scorer)])
    return asked(checkov, directory)


def write(directory: Path, dockerfile: str, manifests: list[Manifest]) -> None:
    directory.mkdir()
    (directory / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    (directory / "manifests.yaml").write_text(yaml.safe_dump_all(manifests), encoding="utf-8")


def planted_image() -> str:
    image = DOCKERFILE
    for good, bad, _ in FAULTS_OF_THE_IMAGE:
        assert image.count(good) == 1
        image = image.replace(good, bad)
    return image


def planted(manifest: Manifest) -> Manifest:
    changed = deepcopy(manifest)
    for path, value, _ in FAULTS_OF_THE_MANIFESTS:
        place: Any = changed["spec"]["template"]["spec"]
        for key in path[:-1]:
            place = place[key][0] if isinstance(place[key], list) else place[key]
        place[path[-1]] = value
    return changed


def asked(checkov: Path, directory: Path) -> dict[str, Found]:
    """What fails of all policies, those that are left out, too. They are in the package: nobody is called."""
    frameworks = configuration()["framework"]
    done = subprocess.run(
        [
            checkov,
            "--directory",
            directory,
            "--framework",
            *frameworks,
            "--output",
            "json",
            "--skip-download",
            "--quiet",
        ],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        cwd=directory,
    )
    assert done.returncode in {0, 1}, done.stderr
    reports: Any = parse_json(done.stdout.encode())
    assert {report["check_type"] for report in reports} == set(frameworks)
    found: dict[str, Found] = {"ours": defaultdict(set), "planted": defaultdict(set)}
    for report in reports:
        assert report["summary"]["parsing_errors"] == 0
        assert report["summary"]["failed"] > 0
        for failed in report["results"]["failed_checks"]:
            which = Path(failed["file_path"]).parts[1]
            found[which][failed["check_id"]].add(failed["resource"])
    return found


def configuration() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))
    return loaded


def reasons() -> Iterator[tuple[str, str]]:
    """Each policy that is left out, with the comment before it."""
    text = CONFIGURATION.read_text(encoding="utf-8").partition("skip-check:\n")[2]
    for comment, policy in re.findall(r"((?: *#.*\n)*) *- (\w+)\n", text):
        yield policy, comment.replace("#", "").strip()


def test_nothing_is_found_but_what_is_left_out_for_a_reason(found: dict[str, Found]) -> None:
    assert set(found["ours"]) == set(configuration()["skip-check"])


def test_whatever_is_left_out_has_its_reason() -> None:
    given = dict(reasons())

    assert set(given) == set(configuration()["skip-check"])
    assert [policy for policy, reason in given.items() if len(reason) < 20] == []


@pytest.mark.parametrize("policy", [policy for *_, policy in (*FAULTS_OF_THE_IMAGE, *FAULTS_OF_THE_MANIFESTS)])
def test_a_planted_fault_is_found(found: dict[str, Found], policy: str) -> None:
    assert policy in found["planted"]
    assert policy not in found["ours"]
