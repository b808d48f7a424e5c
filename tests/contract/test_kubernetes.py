"""The manifests: rendered, held to Kubernetes' own schemas and to ours of what is not Kubernetes', and to rules.

No cluster has seen them here. Every rule is a function from the manifests to their faults, with a planted fault that
it must find.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import jsonschema
import kubernetes_validate
import pytest
import yaml

from deploy.kubernetes import generate
from services.command.doctor.checks import SETTINGS
from services.command.up import BUILDS
from shared.events.topics import ALL_TOPICS
from shared.settings import Settings, variables_of
from tests.contract.test_compose import command_of_target
from tests.support.kustomize import KUBERNETES, ROOT, Manifest, rendered

EXAMPLE = KUBERNETES / "overlays" / "example"
VERSIONS = ("1.30", "1.37")
WORKLOADS = {"Deployment", "StatefulSet", "Job"}
SERVICES = frozenset(BUILDS)
COMPONENT = "app.kubernetes.io/component"
# Where webhooks must not go: private, shared, link-local (metadata) and the machine itself.
NEVER = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"}

Manifests = list[Manifest]
Rule = Callable[[Manifests], Iterator[str]]


@pytest.fixture(scope="module")
def example() -> Manifests:
    return rendered(EXAMPLE)


@pytest.fixture
def manifests(example: Manifests) -> Manifests:
    return deepcopy(example)


def of_kind(manifests: Manifests, *kinds: str) -> Iterator[Manifest]:
    return (manifest for manifest in manifests if manifest["kind"] in kinds)


def named(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def component(manifest: Manifest) -> str:
    return str(manifest["metadata"]["labels"][COMPONENT])


def pod(manifest: Manifest) -> Manifest:
    return cast("Manifest", manifest["spec"]["template"]["spec"])


def containers(manifest: Manifest) -> Iterator[Manifest]:
    yield from pod(manifest)["containers"]
    yield from pod(manifest).get("initContainers", [])


def services(manifests: Manifests) -> Iterator[Manifest]:
    return of_kind(manifests, "Deployment", "StatefulSet")


def selects(selector: Manifest, labels: Manifest) -> bool:
    expressions = selector.get("matchExpressions", [])
    return (selector.get("matchLabels", {}).items() <= labels.items()) and all(
        expression["operator"] == "In" and labels.get(expression["key"]) in expression["values"]
        for expression in expressions
    )


def every_service_and_the_migration_are_there(manifests: Manifests) -> Iterator[str]:
    kinds = {component(manifest): manifest["kind"] for manifest in of_kind(manifests, *WORKLOADS)}
    wanted = {"ingest": "Deployment", "scorer": "StatefulSet", "pipeline": "Deployment", "migrate": "Job"}
    if kinds != wanted:
        yield f"workloads: {kinds}"


def images_are_those_of_the_dockerfile(manifests: Manifests) -> Iterator[str]:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    for manifest in of_kind(manifests, *WORKLOADS):
        for container in containers(manifest):
            if container["image"] != f"registry.example.com/leadflow-{component(manifest)}:{version[1]}":
                yield f"{named(manifest)}: the image is not that of its target and of this release"
        if command_of_target(component(manifest)) != [component(manifest)]:
            yield f"{named(manifest)}: the Dockerfile has no such target"


def pods_have_no_rights_that_they_do_not_need(manifests: Manifests) -> Iterator[str]:
    for manifest in of_kind(manifests, *WORKLOADS):
        rights = pod(manifest).get("securityContext", {})
        if not (
            rights.get("runAsNonRoot") is True
            and rights.get("runAsUser") == 10001
            and rights.get("seccompProfile") == {"type": "RuntimeDefault"}
        ):
            yield f"{named(manifest)}: the pod is not restricted"
        for container in containers(manifest):
            if container.get("securityContext") != {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }:
                yield f"{named(manifest)}: the container is not restricted"


def pods_carry_no_token(manifests: Manifests) -> Iterator[str]:
    for manifest in of_kind(manifests, *WORKLOADS):
        if pod(manifest).get("automountServiceAccountToken") is not False:
            yield f"{named(manifest)}: carries a token of Kubernetes"
    for manifest in of_kind(manifests, "ServiceAccount"):
        if manifest.get("automountServiceAccountToken") is not False:
            yield f"{named(manifest)}: gives out tokens"


def no_secret_stands_in_the_manifests_or_in_an_environment(manifests: Manifests) -> Iterator[str]:
    for manifest in of_kind(manifests, "Secret"):
        yield f"{named(manifest)}: a secret in the repository"
    secret = {
        f"LEADFLOW_{name}".upper()
        for name, field in Settings.model_fields.items()
        if "Secret" in str(field.annotation)
    }
    for manifest in of_kind(manifests, "ConfigMap"):
        for name in secret & manifest.get("data", {}).keys():
            yield f"{named(manifest)}: {name} is a secret"
    for manifest in of_kind(manifests, *WORKLOADS):
        for container in containers(manifest):
            if {"secretRef", "secretKeyRef"} & set(re.findall(r"\w+", json.dumps(container))):
                yield f"{named(manifest)}: a secret in the environment"


def settings_exist(manifests: Manifests) -> Iterator[str]:
    known = frozenset[str]().union(*map(variables_of, SETTINGS))
    keys = [
        (named(manifest), key)
        for manifest in of_kind(manifests, "ConfigMap")
        for key in manifest.get("data", {})
        if key.startswith("LEADFLOW")
    ]
    keys += [
        (named(manifest), item["secretKey"])
        for manifest in of_kind(manifests, "ExternalSecret")
        for item in manifest["spec"]["data"]
    ]
    keys += [
        (named(manifest), variable["name"])
        for manifest in of_kind(manifests, *WORKLOADS)
        for container in containers(manifest)
        for variable in container.get("env", [])
    ]
    for where, key in keys:
        if key not in known:
            yield f"{where}: nothing reads {key}"


def what_pods_refer_to_is_there(manifests: Manifests) -> Iterator[str]:
    there = {("ConfigMap", item["metadata"]["name"]) for item in of_kind(manifests, "ConfigMap")}
    there |= {("Secret", item["spec"]["target"]["name"]) for item in of_kind(manifests, "ExternalSecret")}
    there |= {("ConfigMap", "kafka-authority")}  # the platform's
    for manifest in of_kind(manifests, *WORKLOADS):
        volumes = {volume["name"]: volume for volume in pod(manifest)["volumes"]}
        wanted = {("Secret", v["secret"]["secretName"]) for v in volumes.values() if "secret" in v}
        wanted |= {("ConfigMap", v["configMap"]["name"]) for v in volumes.values() if "configMap" in v}
        for container in containers(manifest):
            wanted |= {("ConfigMap", source["configMapRef"]["name"]) for source in container.get("envFrom", [])}
            for mount in container["volumeMounts"]:
                if mount["name"] not in volumes:
                    yield f"{named(manifest)}: no volume {mount['name']}"
        for missing in wanted - there:
            yield f"{named(manifest)}: no {' '.join(missing)}"


def the_only_place_to_write_is_small_and_passes(manifests: Manifests) -> Iterator[str]:
    for manifest in of_kind(manifests, *WORKLOADS):
        for volume in pod(manifest)["volumes"]:
            kinds = volume.keys() - {"name"}
            if not (kinds <= {"secret", "configMap"} or "sizeLimit" in volume.get("emptyDir", {})):
                yield f"{named(manifest)}: {volume['name']} has no limit"


def there_are_three_probes(manifests: Manifests) -> Iterator[str]:
    paths = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for manifest in services(manifests):
        for container in containers(manifest):
            found = {name: container.get(name, {}).get("httpGet", {}).get("path") for name in paths}
            if found != paths:
                yield f"{named(manifest)}: probes {found}"


def pods_have_time_to_end(manifests: Manifests) -> Iterator[str]:
    # Requests are finished first, then the tasks: each within the time-out; and 5 s to close the connections.
    needed = 2 * Settings.model_fields["shutdown_timeout_seconds"].default + 5
    for manifest in services(manifests):
        waits = [
            container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            for container in containers(manifest)
        ]
        if not 5 <= min(waits) <= max(waits) <= 15:
            yield f"{named(manifest)}: proxies do not hear in time that a pod is going"
        if max(waits) + needed > pod(manifest).get("terminationGracePeriodSeconds", 30):
            yield f"{named(manifest)}: is killed before it can end"


def pods_ask_for_what_they_need(manifests: Manifests) -> Iterator[str]:
    for manifest in of_kind(manifests, *WORKLOADS):
        for container in containers(manifest):
            resources = container.get("resources", {})
            if not ({"cpu", "memory"} <= resources.get("requests", {}).keys() and "memory" in resources["limits"]):
                yield f"{named(manifest)}: no requests or no limit of memory"


def an_update_takes_no_place_away(manifests: Manifests) -> Iterator[str]:
    for manifest in of_kind(manifests, "Deployment"):
        if manifest["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable") != 0:
            yield f"{named(manifest)}: an update takes a pod away before there is another"


def no_service_is_one_pod(manifests: Manifests) -> Iterator[str]:
    least = {
        item["spec"]["scaleTargetRef"]["name"]: item["spec"].get("minReplicas", item["spec"].get("minReplicaCount"))
        for item in of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject")
    }
    for manifest in services(manifests):
        if least.get(manifest["metadata"]["name"], manifest["spec"].get("replicas", 1)) < 2:
            yield f"{named(manifest)}: one pod alone"


def pods_are_spread_and_disrupted_one_by_one(manifests: Manifests) -> Iterator[str]:
    for manifest in services(manifests):
        labels = manifest["spec"]["template"]["metadata"]["labels"]
        keys = {item["topologyKey"] for item in pod(manifest).get("topologySpreadConstraints", [])}
        if not {"topology.kubernetes.io/zone", "kubernetes.io/hostname"} <= keys:
            yield f"{named(manifest)}: all pods may land on one node"
        budgets = [item["spec"] for item in of_kind(manifests, "PodDisruptionBudget")]
        if [budget["maxUnavailable"] for budget in budgets if selects(budget["selector"], labels)] != [1]:
            yield f"{named(manifest)}: no budget of disruption"


def selectors_find_their_pods(manifests: Manifests) -> Iterator[str]:
    pods = [manifest["spec"]["template"]["metadata"]["labels"] for manifest in of_kind(manifests, *WORKLOADS)]
    for manifest in of_kind(manifests, "Service"):
        if sum(selects({"matchLabels": manifest["spec"]["selector"]}, labels) for labels in pods) != 1:
            yield f"{named(manifest)}: selects not exactly one workload"
    for manifest in of_kind(manifests, "PodMonitor"):
        found = {labels[COMPONENT] for labels in pods if selects(manifest["spec"]["selector"], labels)}
        if found != SERVICES:
            yield f"{named(manifest)}: scrapes {sorted(found)}"
        if {labels.get(manifest["spec"]["jobLabel"]) for labels in pods} != {"leadflow"}:
            yield f"{named(manifest)}: the job is not the one that the alerts know"


def members_keep_their_names(manifests: Manifests) -> Iterator[str]:
    for manifest in of_kind(manifests, "StatefulSet"):
        (container,) = containers(manifest)
        names = {item["name"]: item.get("valueFrom") for item in container.get("env", [])}
        if names.get("LEADFLOW_INSTANCE") != {"fieldRef": {"fieldPath": "metadata.name"}}:
            yield f"{named(manifest)}: its members lose their place at every restart"


def nothing_passes_unless_it_is_named(manifests: Manifests) -> Iterator[str]:
    policies = [item["spec"] for item in of_kind(manifests, "NetworkPolicy")]
    if {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} not in policies:
        yield "what is not named passes"
    for policy in policies:
        for rule in [*policy.get("ingress", []), *policy.get("egress", [])]:
            if not rule.get("ports") or not (rule.get("from") or rule.get("to")):
                yield "a rule names no port, or nobody"


def only_deliveries_reach_the_internet_and_nothing_private(manifests: Manifests) -> Iterator[str]:
    for manifest in of_kind(manifests, "NetworkPolicy"):
        blocks = [
            peer["ipBlock"]
            for rule in manifest["spec"].get("egress", [])
            for peer in rule.get("to", [])
            if "ipBlock" in peer
        ]
        wide = [block for block in blocks if block["cidr"] in {"0.0.0.0/0", "::/0"}]
        if blocks and manifest["spec"]["podSelector"].get("matchLabels", {}).get(COMPONENT) != "pipeline":
            yield f"{named(manifest)}: others than the pipeline reach the internet"
        if any(not set(block.get("except", [])) >= NEVER or block["cidr"] == "::/0" for block in wide):
            yield f"{named(manifest)}: webhooks reach private addresses"


def scorers_are_no_more_than_partitions_and_no_fewer_than_two(manifests: Manifests) -> Iterator[str]:
    (partitions,) = (topic.partitions for topic in ALL_TOPICS if topic.name == "engagement-events")
    for manifest in of_kind(manifests, "ScaledObject"):
        spec = manifest["spec"]
        if not 2 <= spec.get("minReplicaCount", 0) <= spec.get("maxReplicaCount", 100) <= partitions:
            yield f"{named(manifest)}: from {spec.get('minReplicaCount')} to {spec.get('maxReplicaCount')} scorers"
        down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
        if down.get("stabilizationWindowSeconds", 0) < 300:
            yield f"{named(manifest)}: scales down in a hurry"
        if "consumer_lag_seconds" not in spec["triggers"][0]["metadata"]["query"]:
            yield f"{named(manifest)}: does not go by seconds"


def the_migration_is_of_this_release_alone(manifests: Manifests) -> Iterator[str]:
    for manifest in of_kind(manifests, "Job"):
        version = manifest["metadata"]["labels"]["app.kubernetes.io/version"]
        if manifest["metadata"]["name"] != f"leadflow-migrate-{version.replace('.', '-')}":
            yield f"{named(manifest)}: the Job of another release could not be changed into this one"


def dashboards_are_all_there(manifests: Manifests) -> Iterator[str]:
    committed = {path.name: path for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")}
    found = {
        name: text
        for manifest in of_kind(manifests, "ConfigMap")
        if manifest["metadata"]["labels"].get("grafana_dashboard") == "1"
        for name, text in manifest["data"].items()
    }
    for name in sorted(committed.keys() ^ found.keys()):
        yield f"{name}: {generate.REPAIR}"
    for name in committed.keys() & found.keys():
        if found[name] != committed[name].read_text(encoding="utf-8"):
            yield f"{name} is not the committed one"


RULES: tuple[Rule, ...] = (
    every_service_and_the_migration_are_there,
    images_are_those_of_the_dockerfile,
    pods_have_no_rights_that_they_do_not_need,
    pods_carry_no_token,
    no_secret_stands_in_the_manifests_or_in_an_environment,
    settings_exist,
    what_pods_refer_to_is_there,
    the_only_place_to_write_is_small_and_passes,
    there_are_three_probes,
    pods_have_time_to_end,
    pods_ask_for_what_they_need,
    an_update_takes_no_place_away,
    no_service_is_one_pod,
    pods_are_spread_and_disrupted_one_by_one,
    selectors_find_their_pods,
    members_keep_their_names,
    nothing_passes_unless_it_is_named,
    only_deliveries_reach_the_internet_and_nothing_private,
    scorers_are_no_more_than_partitions_and_no_fewer_than_two,
    the_migration_is_of_this_release_alone,
    dashboards_are_all_there,
)

DELETED = object()
INGEST, SCORER, PIPELINE = "Deployment leadflow-ingest", "StatefulSet leadflow-scorer", "Deployment leadflow-pipeline"
JOB = "Job leadflow-migrate-0-1-0"
TEMPLATE = "spec.template.spec"
CONTAINER = f"{TEMPLATE}.containers.0"
DELIVERIES = "NetworkPolicy leadflow-deliveries"
KEDA = "ScaledObject leadflow-scorer"
KEDA_BEHAVIOR = "spec.advanced.horizontalPodAutoscalerConfig.behavior"

PLANTED: tuple[tuple[Rule, str, str, object], ...] = (
    (every_service_and_the_migration_are_there, SCORER, "kind", "Deployment"),
    (images_are_those_of_the_dockerfile, INGEST, f"{CONTAINER}.image", "registry.example.com/leadflow-ingest:latest"),
    (images_are_those_of_the_dockerfile, INGEST, f"{CONTAINER}.image", "registry.example.com/leadflow-scorer:0.1.0"),
    (pods_have_no_rights_that_they_do_not_need, INGEST, f"{TEMPLATE}.securityContext.runAsNonRoot", DELETED),
    (pods_have_no_rights_that_they_do_not_need, SCORER, f"{TEMPLATE}.securityContext.seccompProfile", DELETED),
    (pods_have_no_rights_that_they_do_not_need, PIPELINE, f"{CONTAINER}.securityContext.capabilities", DELETED),
    (pods_have_no_rights_that_they_do_not_need, JOB, f"{CONTAINER}.securityContext.readOnlyRootFilesystem", False),
    (pods_carry_no_token, PIPELINE, f"{TEMPLATE}.automountServiceAccountToken", DELETED),
    (pods_carry_no_token, "ServiceAccount leadflow", "automountServiceAccountToken", True),
    (no_secret_stands_in_the_manifests_or_in_an_environment, "ServiceAccount leadflow", "kind", "Secret"),
    (
        no_secret_stands_in_the_manifests_or_in_an_environment,
        "ConfigMap leadflow",
        "data.LEADFLOW_DATABASE_URL",
        "postgresql://leadflow:secret@host/leadflow",
    ),
    (
        no_secret_stands_in_the_manifests_or_in_an_environment,
        INGEST,
        f"{CONTAINER}.env",
        [{"name": "LEADFLOW_DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "leadflow", "key": "url"}}}],
    ),
    (settings_exist, "ConfigMap leadflow", "data.LEADFLOW_KAFKA_BOOTSTRAP", "kafka:9093"),
    (settings_exist, "ExternalSecret leadflow", "spec.data.0.secretKey", "LEADFLOW_DATABASE"),
    (what_pods_refer_to_is_there, INGEST, f"{TEMPLATE}.volumes.0.secret.secretName", "leadflow-ingest"),
    (what_pods_refer_to_is_there, SCORER, f"{CONTAINER}.envFrom.0.configMapRef.name", "leadflow"),
    (what_pods_refer_to_is_there, SCORER, f"{CONTAINER}.volumeMounts.0.name", "keys"),
    (the_only_place_to_write_is_small_and_passes, JOB, f"{TEMPLATE}.volumes.1.emptyDir", {}),
    (the_only_place_to_write_is_small_and_passes, JOB, f"{TEMPLATE}.volumes.1", {"name": "t", "hostPath": {}}),
    (there_are_three_probes, SCORER, f"{CONTAINER}.startupProbe", DELETED),
    (there_are_three_probes, INGEST, f"{CONTAINER}.livenessProbe.httpGet.path", "/readyz"),
    (pods_have_time_to_end, INGEST, f"{TEMPLATE}.terminationGracePeriodSeconds", DELETED),
    (pods_have_time_to_end, SCORER, f"{TEMPLATE}.terminationGracePeriodSeconds", 50),
    (pods_have_time_to_end, PIPELINE, f"{CONTAINER}.lifecycle", DELETED),
    (pods_ask_for_what_they_need, INGEST, f"{CONTAINER}.resources", DELETED),
    (pods_ask_for_what_they_need, JOB, f"{CONTAINER}.resources.requests.cpu", DELETED),
    (an_update_takes_no_place_away, INGEST, "spec.strategy", DELETED),
    (no_service_is_one_pod, PIPELINE, "spec.replicas", 1),
    (no_service_is_one_pod, "HorizontalPodAutoscaler leadflow-ingest", "spec.minReplicas", 1),
    (pods_are_spread_and_disrupted_one_by_one, SCORER, f"{TEMPLATE}.topologySpreadConstraints", DELETED),
    (pods_are_spread_and_disrupted_one_by_one, "PodDisruptionBudget leadflow-ingest", "spec.maxUnavailable", 2),
    (selectors_find_their_pods, "Service leadflow-ingest", f"spec.selector.{COMPONENT}", "ingestion"),
    (selectors_find_their_pods, "PodMonitor leadflow", "spec.jobLabel", COMPONENT),
    (members_keep_their_names, SCORER, f"{CONTAINER}.env", DELETED),
    (nothing_passes_unless_it_is_named, "NetworkPolicy leadflow-default-deny", "spec.policyTypes", ["Ingress"]),
    (nothing_passes_unless_it_is_named, "NetworkPolicy leadflow-callers", "spec.ingress.0.ports", DELETED),
    (nothing_passes_unless_it_is_named, "NetworkPolicy leadflow-kafka", "spec.egress.0.to", []),
    (
        only_deliveries_reach_the_internet_and_nothing_private,
        DELIVERIES,
        f"spec.podSelector.matchLabels.{COMPONENT}",
        "ingest",
    ),
    (
        only_deliveries_reach_the_internet_and_nothing_private,
        DELIVERIES,
        "spec.egress.0.to.0.ipBlock.except",
        ["10.0.0.0/8"],
    ),
    (scorers_are_no_more_than_partitions_and_no_fewer_than_two, KEDA, "spec.maxReplicaCount", 9),
    (scorers_are_no_more_than_partitions_and_no_fewer_than_two, KEDA, "spec.minReplicaCount", 0),
    (
        scorers_are_no_more_than_partitions_and_no_fewer_than_two,
        KEDA,
        f"{KEDA_BEHAVIOR}.scaleDown.stabilizationWindowSeconds",
        60,
    ),
    (
        scorers_are_no_more_than_partitions_and_no_fewer_than_two,
        KEDA,
        "spec.triggers.0.metadata.query",
        "sum(leadflow_consumer_lag_records)",
    ),
    (the_migration_is_of_this_release_alone, JOB, "metadata.name", "leadflow-migrate"),
    (dashboards_are_all_there, "ConfigMap leadflow-dashboard-overview", "data", {}),
    (dashboards_are_all_there, "ConfigMap leadflow-dashboard-overview", "data.overview~json", "{}"),
)


def one(manifests: Manifests, name: str) -> Manifest:
    """The one of that kind and name; a digest after the name is of no account."""
    (found,) = (item for item in manifests if re.fullmatch(rf"{name}(-[a-z0-9]{{10}})?", named(item)))
    return found


def plant(manifest: Manifest, path: str, value: object) -> None:
    place: Any = manifest
    *parents, last = re.split(r"\.(?!kubernetes|io)", path)
    for key in parents:
        place = place[int(key)] if key.isdigit() else place[key]
    index: Any = int(last) if last.isdigit() else last.replace("~", ".")
    if value is DELETED:
        del place[index]
    else:
        place[index] = value


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_manifests_follow_the_rule(rule: Rule, manifests: Manifests) -> None:
    assert list(rule(manifests)) == []


@pytest.mark.parametrize(
    ("rule", "name", "path", "value"),
    PLANTED,
    ids=[f"{rule.__name__}: {name} {path}" for rule, name, path, _ in PLANTED],
)
def test_a_planted_fault_is_found(rule: Rule, name: str, path: str, value: object, manifests: Manifests) -> None:
    plant(one(manifests, name), path, value)

    assert len(list(rule(manifests))) == 1


def test_each_rule_has_a_planted_fault() -> None:
    assert {rule for rule, *_ in PLANTED} == set(RULES)


def schema_of(manifest: Manifest) -> Manifest | None:
    """Ours of what Kubernetes itself does not know; the other kinds have none."""
    path = KUBERNETES / "schemas" / f"{manifest['kind'].lower()}.json"
    return cast("Manifest", yaml.safe_load(path.read_text(encoding="utf-8"))) if path.exists() else None


def misshapen(manifest: Manifest, version: str) -> str | None:
    """What a strict schema says against `manifest`; having no schema at all is a fault as well."""
    schema = schema_of(manifest)
    try:
        if schema is not None:
            jsonschema.Draft202012Validator(schema).validate(manifest)
        else:
            kubernetes_validate.validate(manifest, version, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.SchemaNotFoundError) as fault:
        return f"{named(manifest)}: {fault.message}"
    return None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("directory", ["base", "overlays/example"])
def test_every_manifest_is_one_by_its_schema(directory: str, version: str, example: Manifests) -> None:
    manifests = example if directory == "overlays/example" else rendered(KUBERNETES / directory)

    assert [fault for fault in (misshapen(manifest, version) for manifest in manifests) if fault] == []


@pytest.mark.parametrize(
    ("name", "path", "value", "said"),
    [
        (INGEST, f"{CONTAINER}.livenesProbe", {}, "livenesProbe"),
        (INGEST, f"{CONTAINER}.ports.0.containerPort", "http", "'http'"),
        ("NetworkPolicy leadflow-kafka", "spec.engress", [], "engress"),
        ("PodMonitor leadflow", "spec.podMetricEndpoints", [], "podMetricEndpoints"),
        ("PrometheusRule leadflow-causes", "spec.groups.0.rules.0.expression", "up == 0", "expression"),
        (KEDA, "spec.maxReplicas", 4, "maxReplicas"),
        ("ExternalSecret leadflow", "spec.data.0.remoteref", {}, "remoteref"),
        (JOB, "kind", "Jobb", "Couldn't find schema"),
    ],
)
def test_a_misspelt_manifest_is_none(name: str, path: str, value: object, said: str, manifests: Manifests) -> None:
    manifest = one(manifests, name)
    assert misshapen(manifest, VERSIONS[-1]) is None

    plant(manifest, path, value)

    assert said in (misshapen(manifest, VERSIONS[-1]) or "")


def test_rules_and_dashboards_are_those_of_prometheus_and_grafana() -> None:
    assert generate.main(["check"]) == 0


@pytest.mark.parametrize(
    ("changed", "text", "named"),
    [
        ("prometheus/rules/causes.yml", "groups: []", "prometheus-rules.yaml"),
        ("grafana/dashboards/new.json", "{}", "grafana/kustomization.yaml"),
    ],
)
def test_a_changed_rule_or_a_new_dashboard_is_noticed(
    changed: str, text: str, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy = tmp_path / "deploy"
    shutil.copytree(ROOT / "deploy", deploy)
    (deploy / changed).write_text(text, encoding="utf-8")

    assert generate.main(["check", "--deploy", str(deploy)]) == 1

    said = capsys.readouterr().err
    assert named in said
    assert "python -m deploy.kubernetes.generate write" in said
