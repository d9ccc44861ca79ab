"""The files for Kubernetes, as kubectl renders them: valid for the API, and in agreement with each other."""

import os
import stat
from base64 import b64decode
from itertools import groupby
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from mirror.settings.server.server_settings import ServerSettings
from tests.harness.command import run
from tests.harness.compose import IMAGE, MACHINE_FOLDERS, import_image
from tests.harness.engine import Engine
from tests.harness.mirror import plugin_mirror
from tests.harness.ports import free_port
from tests.harness.readiness import http_answers, wait_until
from tests.harness.requirement import require
from tests.harness.trixie import ENGINE_BINARIES, KUBECTL, missing

pytestmark = pytest.mark.e2e

SOURCE = Path(__file__).parents[2] / "deploy/kubernetes"
PASSWORD = "the password"
#: The oldest release that the files are for, and the newest one whose schemas are known.
RELEASES = ("1.27", kubernetes_validate.latest_version())

Resources = dict[str, dict[str, Any]]


@pytest.fixture(scope="module", params=["base", "example"])
def resources(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Resources:
    """The rendered resources by kind, of which there is one each."""
    require(missing(KUBECTL))
    source = tmp_path_factory.mktemp("kubernetes")
    run(["cp", "-r", str(SOURCE), str(source)])
    folder = source / "kubernetes" / request.param
    (folder / "hub-password").write_text(f"{PASSWORD}\n")
    rendered = run([str(KUBECTL), "kustomize", str(folder)])
    assert rendered.stderr == ""
    found = sorted(yaml.safe_load_all(rendered.stdout), key=lambda one: str(one["kind"]))
    assert [len(list(same)) for _, same in groupby(found, lambda one: one["kind"])] == [1] * len(found)
    return {one["kind"]: one for one in found}


@pytest.fixture
def pod(resources: Resources) -> dict[str, Any]:
    return dict(resources["StatefulSet"]["spec"]["template"])


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    return dict(only)


def test_everything_that_a_site_needs_is_there(resources: Resources) -> None:
    kinds = {"ConfigMap", "Ingress", "NetworkPolicy", "PodDisruptionBudget", "Service", "StatefulSet"}
    assert kinds <= resources.keys()
    assert resources.keys() - kinds <= {"Namespace", "Secret"}


@pytest.mark.parametrize("release", RELEASES)
def test_the_schemas_allow_each_resource_and_know_each_key(resources: Resources, release: str) -> None:
    for resource in resources.values():
        kubernetes_validate.validate(resource, release, strict=True)


def test_every_selector_means_the_pod(resources: Resources, pod: dict[str, Any]) -> None:
    labels = pod["metadata"]["labels"]
    spec = {kind: resource.get("spec", {}) for kind, resource in resources.items()}
    assert labels
    assert spec["Service"]["selector"] == labels
    assert spec["StatefulSet"]["selector"] == {"matchLabels": labels}
    assert spec["PodDisruptionBudget"]["selector"] == {"matchLabels": labels}
    assert spec["NetworkPolicy"]["podSelector"] == {"matchLabels": labels}


def test_there_is_one_replica_behind_the_service_and_the_ingress(
    resources: Resources, container: dict[str, Any]
) -> None:
    (port,), (offered,) = container["ports"], resources["Service"]["spec"]["ports"]
    service = resources["Service"]["metadata"]["name"]
    assert resources["StatefulSet"]["spec"]["replicas"] == 1
    assert resources["StatefulSet"]["spec"]["serviceName"] == service
    assert offered["targetPort"] == port["name"]
    (rule,) = resources["Ingress"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"] == {"service": {"name": service, "port": {"name": offered["name"]}}}
    (tls,) = resources["Ingress"]["spec"]["tls"]
    assert tls["hosts"] == [rule["host"]]
    (allowed,) = resources["NetworkPolicy"]["spec"]["ingress"]
    assert [one["port"] for one in allowed["ports"]] == [port["name"]]


def test_the_pod_can_do_little(pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["enableServiceLinks"] is False
    whole, own = pod["spec"]["securityContext"], container["securityContext"]
    assert (whole["runAsNonRoot"], whole["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_life_and_readiness_are_asked_at_their_pages(container: dict[str, Any]) -> None:
    pages = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert pages == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    for kind in ("startup", "liveness", "readiness"):
        assert container[f"{kind}Probe"]["httpGet"]["port"] == container["ports"][0]["name"]


def test_the_pod_has_the_time_to_end_its_transfers(pod: dict[str, Any]) -> None:
    assert pod["spec"]["terminationGracePeriodSeconds"] > ServerSettings.model_fields["shutdown_seconds"].default


def test_each_mount_has_its_volume_and_each_volume_its_content(
    resources: Resources, pod: dict[str, Any], container: dict[str, Any]
) -> None:
    claims = [claim["metadata"]["name"] for claim in resources["StatefulSet"]["spec"]["volumeClaimTemplates"]]
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == {*claims, *volumes}
    assert volumes["config"]["configMap"]["name"] == resources["ConfigMap"]["metadata"]["name"]
    secret = volumes["secrets"]["secret"]
    if "Secret" in resources:
        assert secret["secretName"] == resources["Secret"]["metadata"]["name"]
    else:
        assert secret["optional"] is True


def test_the_configuration_is_right_and_fits_the_pod(
    resources: Resources, container: dict[str, Any], tmp_path: Path
) -> None:
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    (name,) = resources["ConfigMap"]["data"]
    assert container["args"] == ["serve", "--config", f"{mounts['config']}/{name}"]
    config = tmp_path / name
    config.write_text(resources["ConfigMap"]["data"][name])
    checked = plugin_mirror("config", "check", "--config", str(config))
    settings = yaml.safe_load(config.read_text())
    assert settings["server"]["listen"] == f"0.0.0.0:{container['ports'][0]['containerPort']}"
    assert Path(settings["storage"]["path"]).is_relative_to(mounts["data"])
    assert settings["server"]["url"] == f"https://{resources['Ingress']['spec']['rules'][0]['host']}"
    keys = {str(Path(mounts["secrets"], key)) for key in resources.get("Secret", {}).get("data", {})}
    logins = [upstream.get("credentials", {}) for upstream in settings["upstreams"].values()]
    assert {login["password_file"] for login in logins if login} == keys
    # The file of the secret is missing on this machine. Nothing else is wrong.
    warnings = [line for line in checked.stderr.splitlines() if "warning" in line]
    assert len(warnings) == len(keys)


def test_the_container_runs_as_the_pod_says(
    resources: Resources, pod: dict[str, Any], container: dict[str, Any], tmp_path: Path
) -> None:
    """A Docker Engine stands for the kubelet: same user, rights and mounts, and a volume as `fsGroup` leaves it."""
    require(Engine.missing(ENGINE_BINARIES))
    whole, port = pod["spec"]["securityContext"], free_port()
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    for name in ("config", "secrets", "data/lost+found"):
        (tmp_path / name).mkdir(parents=True)
    for name, text in resources["ConfigMap"]["data"].items():
        (tmp_path / "config" / name).write_text(text)
    for name, encoded in resources.get("Secret", {}).get("data", {}).items():
        file = tmp_path / "secrets" / name
        file.write_bytes(b64decode(encoded))
        os.chown(file, 0, whole["fsGroup"])
        file.chmod(0o440)
    os.chown(tmp_path / "data", 0, whole["fsGroup"])
    (tmp_path / "data").chmod(0o2775)
    (tmp_path / "data/lost+found").chmod(0o700)
    volumes = [f"{tmp_path / name}:{mounts[name]}" for name in ("config", "secrets", "data")]
    volumes += [f"{folder}:{folder}:ro" for folder in MACHINE_FOLDERS]
    with Engine(binaries=ENGINE_BINARIES) as engine:
        import_image(engine)
        engine.docker(
            *("run", "--detach", "--network", "host", "--read-only", "--cap-drop", "ALL", "--tmpfs", mounts["tmp"]),
            *("--security-opt", "no-new-privileges", "--user", f"{whole['runAsUser']}:{whole['runAsGroup']}"),
            *("--env", f"PLUGIN_MIRROR_SERVER__LISTEN=127.0.0.1:{port}"),
            *("--env", "PLUGIN_MIRROR_UPSTREAMS__HUB__OFFLINE=true"),
            *(word for volume in volumes for word in ("--volume", volume)),
            IMAGE,
            *container["args"],
        )
        ready = http_answers(f"http://127.0.0.1:{port}{container['readinessProbe']['httpGet']['path']}")
        wait_until(ready, "the server to be ready")
        data = (tmp_path / "data/mirror").stat()
    assert (data.st_uid, stat.S_IMODE(data.st_mode) & 0o777) == (whole["runAsUser"], 0o700)
