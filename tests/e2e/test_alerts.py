"""Check of the files for Prometheus and Grafana with promtool."""

import json
from pathlib import Path

import pytest
import yaml

from tests.harness.command import run
from tests.harness.requirement import require
from tests.harness.trixie import PROMTOOL, missing

pytestmark = pytest.mark.e2e

FOLDER = Path(__file__).parents[2] / "deploy/prometheus"
RULES = FOLDER / "plugin-mirror.rules.yml"
DASHBOARD = FOLDER.parent / "grafana/plugin-mirror.json"


@pytest.fixture(autouse=True)
def promtool() -> None:
    require(missing(PROMTOOL))


def test_the_configuration_and_its_rules_are_right() -> None:
    told = run([str(PROMTOOL), "check", "config", "--lint-fatal", str(FOLDER / "prometheus.yml")]).stdout
    assert f"Checking {RULES}\n  SUCCESS" in told


def test_the_alerts_are_given_when_they_are_due(tmp_path: Path) -> None:
    story = tmp_path / "alerts.yml"
    story.write_text(Path(__file__).with_name("alerts.yml").read_text().replace("RULES", str(RULES), 1))
    assert "SUCCESS" in run([str(PROMTOOL), "test", "rules", str(story)]).stdout


def test_prometheus_understands_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    queries = [
        target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel.get("targets", [])
    ]
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(queries)} rules found" in run([str(PROMTOOL), "check", "rules", str(file)]).stdout
