"""Alerts as code: generated from what is declared, accepted by Prometheus' own tools, each shown to fire and to stop.

Every check is shown a planted fault that it must find.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.prometheus.generate import files
from tests.support.prometheus import needs_tool

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
TEST_FILES = sorted((PROMETHEUS / "tests").glob("*.yml"))
DASHBOARDS = {f"/d/leadflow-{area}" for area in (
    "overview", "ingest", "scorer", "delivery", "quality", "runtime", "business",
)}  # fmt: skip

Rule = dict[str, Any]

each_rule_file = pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.stem)
each_test_file = pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def loaded(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def rules(document: dict[str, Any]) -> Iterator[Rule]:
    for group in document["groups"]:
        yield from group["rules"]


def alerts(paths: Iterable[Path] = RULE_FILES) -> list[Rule]:
    return [rule for path in paths for rule in rules(loaded(path)) if "alert" in rule]


def alert_names(paths: Iterable[Path] = RULE_FILES) -> set[str]:
    return {rule["alert"] for rule in alerts(paths)}


def copied(tmp_path: Path) -> Path:
    shutil.copytree(PROMETHEUS / "rules", tmp_path / "rules")
    shutil.copytree(PROMETHEUS / "tests", tmp_path / "tests")
    shutil.copy(PROMETHEUS / "prometheus.yml", tmp_path)
    return tmp_path


def test_the_committed_rules_are_those_declared_and_drift_is_found(tmp_path: Path) -> None:
    drifted = copied(tmp_path)
    text = (drifted / "rules" / "causes.yml").read_text(encoding="utf-8")
    (drifted / "rules" / "causes.yml").write_text(text.replace("> 60", "> 90"), encoding="utf-8")
    (drifted / "rules" / "forgotten.yml").write_text("groups: []\n", encoding="utf-8")

    command = (sys.executable, "-m", "deploy.prometheus.generate", "check")
    committed, planted = run(*command), run(*command, "--rules", str(drifted / "rules"))

    assert committed.returncode == 0, committed.stderr
    assert planted.returncode == 1
    assert "causes.yml, forgotten.yml" in planted.stderr


def test_an_hour_is_a_minute_on_that_scale_and_nothing_else_changes() -> None:
    full, short = (files(scale) for scale in (Fraction(1), Fraction(1, 60)))

    def found(rendered: dict[str, str], name: str, alert: str) -> Rule:
        return next(rule for rule in rules(yaml.safe_load(rendered[name])) if rule.get("alert") == alert)

    lag, short_lag = found(full, "causes.yml", "LagSecondsHigh"), found(short, "causes.yml", "LagSecondsHigh")
    burn = found(short, "objectives.yml", "IngestErrorBudgetBurn")
    letters = found(short, "causes.yml", "DeadLettersArrived")
    assert (lag["for"], short_lag["for"]) == ("5m", "5000ms")
    assert short_lag["expr"] == lag["expr"].replace("> 60", "> 1")
    assert short_lag["annotations"] == lag["annotations"]
    assert "rate1h" in burn["expr"]
    assert "> 14.4 * 0.001" in burn["expr"]
    assert "[60000ms]" in burn["expr"]
    assert "[15000ms]" in letters["expr"]
    assert "offset 15000ms" in letters["expr"]


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_how_much_how_urgent_and_where_to_look(rule: Rule) -> None:
    said = rule["annotations"]

    assert set(said) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert "$value" in said["description"]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert (ROOT / said["runbook_url"]).is_file()
    assert said["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"
    assert said["dashboard_url"] in DASHBOARDS


def test_the_page_about_alerts_names_each_with_its_severity() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    causes = {rule["alert"]: rule["labels"]["severity"] for rule in alerts() if "window" not in rule["labels"]}

    listed = dict(re.findall(r"^\| \[(\w+)\]\(runbooks/\1\.md\) \| (page|ticket) \|", page, re.MULTILINE))

    assert listed == causes
    assert {name for name in alert_names() - causes.keys() if f"(runbooks/{name}.md)" not in page} == set()


@each_rule_file
def test_promtool_accepts_the_rules(path: Path) -> None:
    needs_tool("promtool")

    answer = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", str(path))

    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(
    "plant",
    [
        lambda document: document["groups"][0]["rules"].append(document["groups"][0]["rules"][0]),
        lambda document: document["groups"][0]["rules"][0].update(expr="sum by (job) (up"),
        lambda document: document["groups"][0]["rules"][0].update(fro="5m"),
        lambda document: document["groups"][0]["rules"][0]["annotations"].update(summary="{{ $value "),
    ],
    ids=["a rule twice", "an expression that does not parse", "a misspelt field", "a broken template"],
)
def test_promtool_finds_planted_faults_of_rules(plant: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    needs_tool("promtool")
    document = loaded(PROMETHEUS / "rules" / "causes.yml")
    plant(document)
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(document), encoding="utf-8")

    answer = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", str(tmp_path / "rules.yml"))

    assert answer.returncode != 0


@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("scrape_timeout", "scrape_time"), ("rules/*.yml", "rules/none.yml")]
)
def test_promtool_accepts_the_configuration_and_finds_what_is_planted(
    before: str, after: str, tmp_path: Path
) -> None:
    needs_tool("promtool")
    copy = copied(tmp_path)
    text = (copy / "prometheus.yml").read_text(encoding="utf-8")
    (copy / "prometheus.yml").write_text(text.replace(before, after) if before else text, encoding="utf-8")

    answer = run("promtool", "check", "config", "prometheus.yml", cwd=copy)

    assert (answer.returncode == 0) == (not before), answer.stdout + answer.stderr


@each_test_file
def test_promtool_finds_every_alert_as_its_test_says(path: Path) -> None:
    needs_tool("promtool")

    answer = run("promtool", "test", "rules", str(path))

    assert answer.returncode == 0, answer.stdout + answer.stderr


def minutes(duration: str) -> int:
    found = re.fullmatch(r"(\d+)m", duration)
    assert found is not None, duration
    return int(found[1])


def test_each_alert_is_seen_to_fire_to_stop_and_not_to_fire_before() -> None:
    shown: dict[str, set[str]] = {}
    for path in TEST_FILES:
        for case in loaded(path)["tests"]:
            looks = case.get("alert_rule_test", [])
            fired = [(look["alertname"], minutes(look["eval_time"])) for look in looks if look.get("exp_alerts")]
            for look in looks:
                for name, when in fired:
                    if look["alertname"] == name and not look.get("exp_alerts"):
                        at = minutes(look["eval_time"])
                        shown.setdefault(name, set()).add("before" if at < when else "after")
            # A burn rate is "not before" in a test of its own, just below the limit.
            if looks and not fired:
                shown.setdefault(looks[0]["alertname"], set()).add("before")

    assert {name for name in alert_names() if shown.get(name) != {"before", "after"}} == set()


def failed_tests(copy: Path) -> set[str]:
    """The alerts of which a test fails with the rules of `copy`."""
    answer = run("promtool", "test", "rules", *map(str, sorted((copy / "tests").glob("*.yml"))))
    return set(re.findall(r"^\s+alertname: (\w+), time", answer.stdout + answer.stderr, re.MULTILINE))


def looser(rule: Rule) -> None:
    """Every limit a little lower, so that what is just below it fires."""

    def lowered(found: re.Match[str]) -> str:
        return ">= 0" if float(found[1]) == 0 else f"> {float(found[1]) * 0.9:g}"

    rule["expr"] = re.sub(r"> ([\d.e]+)", lowered, rule["expr"])
    rule["expr"] = rule["expr"].replace("== 0", "<= 1").replace("< 0.15", "<= 0.15").replace("absent(", "count(")


def tighter(rule: Rule) -> None:
    """Every limit out of reach."""
    rule["expr"] = re.sub(r"> [\d.e]+", "> 1e12", rule["expr"])
    rule["expr"] = rule["expr"].replace("== 0", "< 0").replace("< 0.15", "< 0").replace("absent(", "absent(up or ")


def hastier(rule: Rule) -> None:
    """No `for`."""
    rule.pop("for", None)


@pytest.mark.parametrize("planted", [looser, tighter, hastier], ids=lambda planted: planted.__name__)
def test_a_rule_that_is_a_little_wrong_fails_its_test(planted: Callable[[Rule], None], tmp_path: Path) -> None:
    needs_tool("promtool")
    copy = copied(tmp_path)
    changed = set()
    for path in (copy / "rules").glob("*.yml"):
        document = loaded(path)
        for rule in rules(document):
            if "alert" in rule:
                before = dict(rule)
                planted(rule)
                changed |= {rule["alert"]} if rule != before else set()
        path.write_text(yaml.safe_dump(document), encoding="utf-8")

    found = failed_tests(copy)

    assert found == changed
    assert changed == alert_names() if planted is not hastier else changed


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=LagSecondsHigh", "severity=page"), "page"),
        (("alertname=LoopLag", "severity=ticket"), "ticket"),
        (("alertname=SomebodyElses",), "ticket"),
    ],
    ids=["a page", "a ticket", "what says nothing"],
)
def test_pages_and_tickets_reach_different_receivers(labels: tuple[str, ...], receiver: str, tmp_path: Path) -> None:
    needs_tool("amtool")
    planted = tmp_path / "alertmanager.yml"
    everything_is_a_page = ALERTMANAGER.read_text(encoding="utf-8").replace('severity = "page"', 'severity != "page"')
    planted.write_text(everything_is_a_page, encoding="utf-8")

    route = ("amtool", "config", "routes", "test", f"--verify.receivers={receiver}")
    right = run(*route, f"--config.file={ALERTMANAGER}", *labels)
    wrong = run(*route, f"--config.file={planted}", *labels)

    assert right.returncode == 0, right.stdout + right.stderr
    assert wrong.returncode != 0


@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("receiver: page", "receiver: pager"), ("group_wait", "group_waits")]
)
def test_amtool_accepts_the_configuration_and_finds_what_is_planted(before: str, after: str, tmp_path: Path) -> None:
    needs_tool("amtool")
    text = ALERTMANAGER.read_text(encoding="utf-8")
    (tmp_path / "alertmanager.yml").write_text(text.replace(before, after) if before else text, encoding="utf-8")

    answer = run("amtool", "check-config", str(tmp_path / "alertmanager.yml"))

    assert (answer.returncode == 0) == (not before), answer.stdout + answer.stderr
