"""Check of the files for Prometheus and Grafana with promtool."""

import json
import re
import ssl
import urllib.request
from base64 import b64encode
from pathlib import Path

import pytest
import trustme
import yaml

from tests.harness.command import run
from tests.harness.mirror import Mirror
from tests.harness.ports import free_port
from tests.harness.requirement import require
from tests.harness.tls_files import TlsFiles
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


def queries() -> list[str]:
    """Return the queries of the dashboard, with values for its variables."""
    return [
        target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel.get("targets", [])
    ]


def test_prometheus_understands_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries())]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in run([str(PROMTOOL), "check", "rules", str(file)]).stdout


def test_a_server_has_each_metric_that_is_asked_for(tmp_path: Path) -> None:
    ca, secret, nobody = trustme.CA(), tmp_path / "secret", f"http://127.0.0.1:{free_port()}"
    secret.write_text(f"whsec_{b64encode(bytes(32)).decode()}\n")
    secret.chmod(0o600)
    trusting = ssl.create_default_context()
    ca.configure_trust(trusting)
    sections = {
        "server": {"tls": TlsFiles(tmp_path, ca.issue_cert("127.0.0.1")).section},
        "upstreams": {"hub": {"url": nobody, "plain_http": True}},
        "mirrors": [{"name": "nfs", "from": "hub/vendor/nfs", "to": "site/nfs", "every": "6h"}],
        "proxy": [{"from": "hub/**", "to": "hub/**"}],
        "pull_through": {"keep": {"bytes": "1GiB"}},
        "admission": {"rules": [{"name": "host-network", "action": "hold", "privileges": ["network=host"]}]},
        "quotas": [{"pattern": "acme/**", "bytes": "1GiB"}],
        "events": [{"name": "tickets", "url": nobody, "plain_http": True, "secret_file": str(secret)}],
    }
    with Mirror(sections=sections) as mirror:
        mirror.command("backup", str(tmp_path / "backup"))
        mirror.command("scrub")
        with urllib.request.urlopen(f"{mirror.url}/metrics", timeout=60, context=trusting) as answer:
            page = answer.read().decode()
    rules = [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    asked = {name for query in rules + queries() for name in re.findall(r"plugin_mirror_\w+", query)}
    assert asked - set(re.findall(r"(?m)^(?:# TYPE )?(plugin_mirror_\w+)", page)) == set()
