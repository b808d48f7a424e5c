"""kustomize as this machine has it: the program, or the one inside kubectl; rendering asks no cluster."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
_BUILT = ROOT / ".cache" / "bin" / "kustomize"
_SECONDS = 120
_OLDEST = 5

Manifest = dict[str, Any]  # YAML as it comes; what it must be is what the tests check


@cache
def _command() -> tuple[str, ...] | None:
    """How to render a directory here; None where nothing is new enough."""
    candidates = [(str(_BUILT), "build"), ("kustomize", "build"), ("kubectl", "kustomize")]
    return next(
        (command for command in candidates if shutil.which(command[0]) and _major(command[0]) >= _OLDEST), None
    )


def _major(program: str) -> int:
    asked = [program, "version", "--client"] if program == "kubectl" else [program, "version"]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=_SECONDS, check=False).stdout
    # One that `go install` built calls itself "(devel)".
    found = re.search(r"(?:Kustomize Version: |^)v(\d+)|\(devel\)", said, re.MULTILINE)
    if found is None:
        return 0
    return int(found[1]) if found[1] else _OLDEST


def rendered(directory: Path) -> list[Manifest]:
    """The manifests of `directory`. Skips the test, with the reason, where no kustomize is to be had."""
    command = _command()
    if command is None:
        reason = "no kustomize 5 (kustomize, or kubectl 1.27 and later): see docs/deploy.md"
        if os.environ.get("LEADFLOW_TEST_REQUIRE_TOOLS") == "1":  # noqa: TID251 - tests have no settings
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run([*command, str(directory)], capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", done.stderr  # a warning tells of something deprecated
    return list(yaml.load_all(done.stdout, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
