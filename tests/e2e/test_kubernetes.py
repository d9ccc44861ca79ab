"""The files for Kubernetes, as kubectl renders them: valid for the API, and in agreement with each other."""

import os
import re
import stat
from base64 import b64decode
from itertools import groupby
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.release.container_image import IMAGE
from mirror.settings.server.server_settings import ServerSettings
from tests.harness import release_image
from tests.harness.command import run
from tests.harness.engine import Engine
from tests.harness.mirror import plugin_mirror
from tests.harness.ports import free_port
from tests.harness.readiness import http_answers, wait_until
from tests.harness.requirement import require
from tests.harness.trixie import ENGINE_BINARIES, KUBECTL, missing

#: The first run builds the image.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "deploy/kubernetes"
BACKUP = (ROOT / "docs/BACKUP.md").read_text().partition("### Kubernetes\n")[2].partition("\n## ")[0]
PASSWORD = "the password"
#: The oldest release that the files are for, and the newest one whose schemas are known.
RELEASES = ("1.27", kubernetes_validate.latest_version())

Resources = dict[str, dict[str, Any]]


def rendered(name: str, folder: Path) -> Resources:
    """Return what kubectl makes of a folder of the files, by kind. There is one resource of each kind."""
    require(missing(KUBECTL))
    run(["cp", "-r", str(SOURCE), str(folder)])
    (folder / "kubernetes/example/hub-password").write_text(f"{PASSWORD}\n")
    done = run([str(KUBECTL), "kustomize", str(folder / "kubernetes" / name)])
    assert done.stderr == ""
    found = sorted(yaml.safe_load_all(done.stdout), key=lambda one: str(one["kind"]))
    assert [len(list(same)) for _, same in groupby(found, lambda one: one["kind"])] == [1] * len(found)
    return {one["kind"]: one for one in found}


@pytest.fixture(scope="module", params=["base", "example"])
def resources(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Resources:
    return rendered(request.param, tmp_path_factory.mktemp("kubernetes"))


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
    require(Engine.missing(ENGINE_BINARIES), release_image.missing())
    port = free_port()
    options = written(resources, container, pod["spec"]["securityContext"], tmp_path)
    with Engine(binaries=ENGINE_BINARIES) as engine:
        release_image.load_image(engine)
        listen = f"PLUGIN_MIRROR_SERVER__LISTEN=127.0.0.1:{port}"
        engine.docker("run", "--detach", "--env", listen, *options, IMAGE, *container["args"])
        ready = http_answers(f"http://127.0.0.1:{port}{container['readinessProbe']['httpGet']['path']}")
        wait_until(ready, "the server to be ready")
        data = (tmp_path / "data/mirror").stat()
    user = pod["spec"]["securityContext"]["runAsUser"]
    assert (data.st_uid, stat.S_IMODE(data.st_mode) & 0o777) == (user, 0o700)


def written(resources: Resources, container: dict[str, Any], security: dict[str, Any], folder: Path) -> list[str]:
    """Write the volumes of a pod into a folder. Return the options of `docker run` for its container."""
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    for name in ("config", "secrets", "data/lost+found"):
        (folder / name).mkdir(parents=True)
    for name, text in resources["ConfigMap"]["data"].items():
        (folder / "config" / name).write_text(text)
    for name, encoded in resources.get("Secret", {}).get("data", {}).items():
        file = folder / "secrets" / name
        file.write_bytes(b64decode(encoded))
        os.chown(file, 0, security["fsGroup"])
        file.chmod(0o440)
    os.chown(folder / "data", 0, security["fsGroup"])
    (folder / "data").chmod(0o2775)
    (folder / "data/lost+found").chmod(0o700)
    volumes = [f"{folder / name}:{mounts[name]}" for name in ("config", "secrets", "data")]
    return [
        *("--network", "host", "--read-only", "--cap-drop", "ALL", "--tmpfs", mounts["tmp"]),
        *("--security-opt", "no-new-privileges", "--user", f"{security['runAsUser']}:{security['runAsGroup']}"),
        *("--env", "PLUGIN_MIRROR_UPSTREAMS__HUB__OFFLINE=true"),
        *(word for volume in volumes for word in ("--volume", volume)),
    ]


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    return rendered("restore", tmp_path_factory.mktemp("restore"))


class TestRestore:
    """The pod that waits for commands in place of the server, and the commands of docs/BACKUP.md."""

    @pytest.mark.parametrize("release", RELEASES)
    def test_the_schemas_allow_each_resource(self, waiting: Resources, release: str) -> None:
        for resource in waiting.values():
            kubernetes_validate.validate(resource, release, strict=True)

    def test_the_pod_is_that_of_the_server_without_its_probes(
        self, waiting: Resources, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        served = rendered("example", tmp_path_factory.mktemp("example"))
        spec, expected = (each["StatefulSet"]["spec"]["template"]["spec"] for each in (waiting, served))
        (container,), (server,) = spec.pop("containers"), expected.pop("containers")
        probes = {"startupProbe", "livenessProbe", "readinessProbe"}
        assert container.pop("command") == ["sleep", "infinity"]
        assert container == {key: value for key, value in server.items() if key not in {*probes, "args"}}
        assert spec == expected

    @pytest.mark.long
    def test_a_backup_is_restored_in_place_of_a_damaged_folder(self, waiting: Resources, tmp_path: Path) -> None:
        require(Engine.missing(ENGINE_BINARIES), release_image.missing())
        spec = waiting["StatefulSet"]["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        options = written(waiting, container, spec["securityContext"], tmp_path)
        program, *arguments = container["command"]
        with Engine(binaries=ENGINE_BINARIES) as engine:
            release_image.load_image(engine)
            begin = ("run", "--detach", "--name", "plugin-mirror-0", "--entrypoint", program)
            engine.docker(*begin, *options, IMAGE, *arguments)
            engine.docker(
                *("exec", "--interactive", "plugin-mirror-0", "plugin-mirror", "user", "add", "anna"),
                "--password-stdin",
                input_text=f"{PASSWORD}\n",
            )
            commands = [line for line in BACKUP.splitlines() if " exec " in line]
            assert len(commands) == 3
            # Docker has no namespaces, and no `--` before the command.
            script = [re.sub(r"^kubectl -n \S+ exec (-i )?(\S+) --", r"docker exec \1\2", line) for line in commands]
            engine.shell("\n".join([f"cd {tmp_path}", *script]))
            listed = engine.docker("exec", "plugin-mirror-0", "plugin-mirror", "user", "ls")
            assert "anna" in listed.stdout
            assert (tmp_path / "data/mirror.old").exists()
