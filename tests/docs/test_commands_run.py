"""The commands of the README, the guides and some pages for operators run as they stand, at a site of their own.

A command that is not run has its reason here. `test_commands_exist.py` checks its name and its options.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks
from tests.docs.pages_of_operators import PAGES_OF_OPERATORS
from tests.docs.site import CONFIG, CONTIV, HUB, OPEN, PASSWORD, Page, Site, site
from tests.harness import plugins
from tests.harness.engine import Engine
from tests.harness.requirement import require

THE_SUITE = "is the suite itself"
NO_NETWORK_DRIVER = "needs a network driver: the plugin of the test is a volume driver"

PAGES = [
    *PAGES_OF_OPERATORS,
    Page(
        "README.md",
        files={CONFIG: "- name: contiv"},
        setup="""
            plugin-mirror serve
        """,
        instead={
            "FILE": CONFIG,
            "user add": "user add --password-stdin",
            "docker login": f"echo {PASSWORD} | command docker login -u anna --password-stdin",
        },
        before={
            "docker plugin install --alias contiv/v2plugin:1.0.0-beta.3 mirror.example": """
                docker plugin rm -f contiv/v2plugin:1.0.0-beta.3
            """,
            "docker plugin install --alias loki": """
                plugin-mirror pack driver -t grafana/loki-docker-driver:3.2.1
                plugin-mirror tag contiv/v2plugin:1.0.0-beta.3 contiv/v2plugin:1.0
            """,
            "docker plugin create": f"""
                sed -i 's/anonymous: .pull./anonymous: [pull, push]/' {CONFIG}
                plugin-mirror reload
            """,
            "docker plugin install vieux/sshfs": f"""
                printf 'proxy:\\n  - {{from: "hub/**", to: "**"}}\\n' >>{CONFIG}
                plugin-mirror reload
            """,
            "plugin-mirror bundle import": "plugin-mirror rm --yes vieux/sshfs",
            "plugin-mirror backup": "mkdir /mnt/backup",
            "plugin-mirror stats": """
                plugin-mirror serve
                plugin-mirror tag acme/driver:1.0 acme/driver:0.9
            """,
        },
        left_out={
            "make ": THE_SUITE,
            "docker network create": NO_NETWORK_DRIVER,
            "docker run --log-driver": "needs an image and a log driver",
        },
    ),
    Page(
        "docs/guides/air-gap.md",
        setup="""
            mkdir -p /media/stick unpacked
            rm -r sshfs
            printf 'storage: {path: /var/lib/plugin-mirror}\\n' >mirror.yaml
            printf 'upstreams: {hub: {url: "https://registry-1.docker.io"}}\\n' >>mirror.yaml
            printf 'mirrors: [{name: sshfs, from: hub/vieux/sshfs, to: vieux/sshfs}]\\n' >>mirror.yaml
            plugin-mirror sync --config mirror.yaml
        """,
        instead={"/tmp/site": "$HOME/unpacked"},
        before={
            "python3 /media/stick/install-plugin /media/stick/site.tar vieux": "docker plugin rm -f sshfs",
            "docker plugin create sshfs": "docker plugin rm -f sshfs",
        },
    ),
    Page(
        "docs/guides/allow-only-what-we-approved.md",
        files={"admission.yaml": "- name: takes-the-host"},
        setup=f"""
            mkdir -p /etc/plugin-mirror
            printf 'server: {{listen: "0.0.0.0:80", anonymous: [pull, push]}}\\n' >{CONFIG}
            printf 'storage: {{path: /var/lib/plugin-mirror}}\\n' >>{CONFIG}
            cat admission.yaml >>{CONFIG}
            plugin-mirror serve --listen 0.0.0.0:80
            plugin-mirror pack driver -t acme/driver:1.0
            sed 's/"Type": ""/"Type": "host"/' -i driver/config.json
            plugin-mirror pack driver -t acme/driver:1.1
            {CONTIV}
        """,
        instead={
            "sha256:c56c8cc8477ce5814b723096177fcbd7db6818ee2e960fd358f6a8830f7f8515": "$(digest acme/driver:1.1)",
        },
        fails=frozenset({("docker plugin install mirror.example/acme/driver:1.1", 1)}),
        left_out={
            "cosign": "tests/e2e/test_signatures.py verifies with it",
            "curl -X POST https": "tests/unit/server has this request: the page has TLS here and nowhere else",
        },
    ),
    Page(
        "docs/guides/arm-and-x86-under-one-tag.md",
        files={"tags.yaml": "  - name: grafana/loki-docker-driver"},
        setup=f"""
            {OPEN}
            cat tags.yaml >>{CONFIG}
            plugin-mirror reload
            plugin-mirror pack driver -t grafana/loki-docker-driver:3.6.0-amd64
            plugin-mirror tag grafana/loki-docker-driver:3.6.0-amd64 grafana/loki-docker-driver:3.6.0-arm64
        """,
        before={"docker plugin install": "docker plugin rm -f $(command docker plugin ls -q) 2>&1 || true"},
    ),
    Page(
        "docs/guides/beside-other-registries.md",
        files={"move.yaml": "- {name: move"},
        setup=f"""
            {OPEN}
            sed 's/harbor.example/registry-1.docker.io/; s/old.plugins.sshfs/old\\/vieux\\/sshfs/' move.yaml >>{CONFIG}
            docker plugin install --alias sshfs {HUB}/vieux/sshfs
        """,
    ),
    Page(
        "docs/guides/build-a-plugin-without-an-engine.md",
        setup=f"{OPEN}\ntar -C driver/rootfs -cf rootfs.tar .\ncp -r contiv v2plugin\nrm -r v2plugin/rootfs",
        before={
            "plugin-mirror pack ./driver -t acme/driver:1.0 --rootfs rootfs.tar": "rm -r driver/rootfs",
            "plugin-mirror pack ./v2plugin": """
                sed 's/contiv.v2plugin:latest/PluginName/' <v2plugin/config.json >v2plugin/config.template
                rm v2plugin/config.json
            """,
            "sudo plugin-mirror unpack": "rm -r v2plugin",
        },
        left_out={
            "docker buildx": "needs base images: tests/e2e/test_building.py builds one",
            "plugin-mirror pack ./driver -t acme/driver:1.0 --rootfs rootfs.tar --platform": "needs its image",
        },
    ),
    Page(
        "docs/guides/check-a-host-before-an-install.md",
        setup=f"""
            {OPEN}
            mkdir -p /srv/sshfs
            plugin-mirror pack sshfs -t acme/sshfs:1.0
            plugin-mirror pack contiv -t contiv/v2plugin:1.0
        """,
        fails=frozenset({("plugin-mirror host check mirror:5000/acme/sshfs:1.0 --alias sshfs", 1)}),
    ),
    Page(
        "docs/guides/contiv-from-source.md",
        left_out={"": "needs the source of contiv, a kernel module, and a day of 2017"},
    ),
    Page(
        "docs/guides/install-offline.md",
        left_out={"": "needs the offline kit: tests/e2e/test_offline_kit.py makes one and runs them"},
    ),
    Page(
        "docs/guides/move-a-plugin-to-an-offline-host.md",
        files={"mirror.yaml": "to: [vieux/sshfs, site/sshfs]"},
        instead={
            "docker volume create -d sshfs …": "docker volume create -d sshfs v1",
            "/var/run/docker.sock": "engine.sock",
        },
        left_out={
            "plugin-mirror inspect mirror.example:5000/site/sshfs:latest --plain-http --as swarm": (
                "needs a swarm: tests/e2e/test_installing.py has one"
            )
        },
    ),
    Page(
        "docs/guides/plugins-of-a-host.md",
        files={"/etc/docker/plugins.yaml": "# /etc/docker/plugins.yaml"},
        setup=f"{OPEN}\nplugin-mirror pack contiv -t contiv/v2plugin:1.0.0-beta.3",
        instead={"sha256:0d1a…": "$(digest contiv/v2plugin:1.0.0-beta.3)"},
        left_out={"for host in": "needs three hosts with SSH"},
    ),
    Page("docs/guides/registries-we-mirror-from.md"),
    Page("docs/guides/rename-a-plugin.md", setup=f"{OPEN}\n{CONTIV}"),
    Page(
        "docs/guides/take-a-plugin-out-of-an-engine.md",
        setup=f"""
            {OPEN}
            {CONTIV}
            mkdir /var/lib/docker
            mount --bind "$(command docker info --format '{{{{.DockerRootDir}}}}')" /var/lib/docker
            docker plugin install --alias store/contiv/v2plugin:1.0 mirror:5000/store/contiv/v2plugin:1.0
        """,
    ),
    Page(
        "docs/guides/the-socket-is-missing.md",
        setup=f"""
            {OPEN}
            mv driver good
            cp -r good bad
            rm -r bad/rootfs/*
            mkdir -p bad/rootfs/run/docker/plugins
            printf '#!/nowhere\\n' >bad/rootfs/volume-driver
            chmod +x bad/rootfs/volume-driver
            command docker plugin create acme/driver:1.0 bad
            plugin-mirror pack good -t acme/driver:1.0
            cp -r good driver
            cp -r good net
            cp good/rootfs/volume-driver net/rootfs/netplugin
            mkdir net/rootfs/bin
            cp good/rootfs/volume-driver net/rootfs/bin/sh
            printf '#!/bin/sh\\n/netplugin -vlan-if $uplink -cluster-store $cluster_store\\n' >net/rootfs/start.sh
            chmod +x net/rootfs/start.sh
            sed 's/volume-driver.,/start.sh",/' -i net/config.json
        """,
        before={"mkdir -p driver": "rm -r driver"},
        instead={
            "registry.example:5000/acme/driver:1.0": "mirror:5000/acme/driver:1.0 --plain-http",
            "/bin/busybox": "good/rootfs/volume-driver",
        },
        fails=frozenset(
            {
                ("docker plugin enable acme/driver:1.0", 1),
                ("plugin-mirror lint ./driver", 2),
                ("plugin-mirror lint ./driver", 3),
                ("plugin-mirror lint ./driver --platform linux/arm64", 1),
            }
        ),
        left_out={"journalctl": "needs systemd", "docker plugin install acme/net": NO_NETWORK_DRIVER},
    ),
    Page(
        "docs/guides/upgrade-a-plugin.md",
        setup=f"""
            {OPEN}
            plugin-mirror pack driver -t acme/disk:1.0
            sed 's/"Type": ""/"Type": "host"/' -i driver/config.json
            plugin-mirror pack driver -t acme/disk:2.0
        """,
        instead={"--upgrade": "--upgrade --plain-http"},
        # Exit code 1: the new version may do more to a host.
        fails=frozenset(
            {
                (
                    "plugin-mirror diff mirror.example:5000/acme/disk:1.0 mirror.example:5000/acme/disk:2.0 "
                    "--upgrade --alias disk",
                    1,
                )
            }
        ),
    ),
]


#: Pages with a command that can run here.
RUNNABLE = [page for page in PAGES if "" not in page.left_out and any(block.commands() for block in blocks(page.name))]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require(Engine.missing(), plugins.missing())
    daemon_json = {"registry-mirrors": ["http://mirror.example:5000"]}
    with site(tmp_path_factory.mktemp("site"), daemon_json=daemon_json) as started:
        yield started


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.timeout(900)  # a page has up to thirty commands
@pytest.mark.parametrize("page", RUNNABLE, ids=[page.name for page in RUNNABLE])
def test_the_commands_of_the_page_run(page: Page, running: Site, tmp_path: Path) -> None:
    running.follow(page, tmp_path)


def test_every_guide_has_its_test() -> None:
    guides = {str(guide.relative_to(ROOT)) for guide in (ROOT / "docs/guides").glob("*.md")}
    with_commands = {guide for guide in guides if any(block.commands() for block in blocks(guide))}
    assert with_commands - {page.name for page in PAGES} == set()


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_each_exception_is_about_a_command_of_the_page(page: Page) -> None:
    commands = [command for block in blocks(page.name) for command in block.commands()]
    named = [*page.before, *(command for command, _ in page.fails), *page.left_out]
    assert [beginning for beginning in named if not any(command.startswith(beginning) for command in commands)] == []
