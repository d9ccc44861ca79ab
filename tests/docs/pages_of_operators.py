"""Pages on installing, upgrading and backups: what a reader has by then, and the commands that cannot run."""

from __future__ import annotations

from tests.docs.blocks import ROOT
from tests.docs.site import CONFIG, CONTIV, Page

PAGES_OF_OPERATORS = [
    Page(
        "docs/INSTALL.md",
        setup=f"""
            cp -r {ROOT}/config {ROOT}/deploy .
            mkdir -p /etc/systemd/system
            install -D -m 644 config/service.yaml {CONFIG}
        """,
        before={"plugin-mirror health": "plugin-mirror serve"},
        left_out={
            "/opt/plugin-mirror/bin/pip install": "needs a package index: tests/e2e/test_offline_kit.py has the wheels",
            "dpkg": "needs the package: tests/e2e/test_offline_kit.py makes and installs it",
            "make image": "needs a base image: tests/harness/release_image.py has one",
            "docker run": "needs the image: tests/e2e/test_offline_kit.py runs it",
        },
    ),
    Page(
        "docs/UPGRADE.md",
        # The version of the tests is the new one and the old one. tests/e2e/test_upgrading.py has an old folder.
        setup=f"""
            mkdir -p /etc/plugin-mirror
            printf 'storage: {{path: /var/lib/plugin-mirror}}\\n' >{CONFIG}
            {CONTIV}
            cp -p /var/lib/plugin-mirror/catalog.sqlite /var/lib/plugin-mirror/catalog-0014.sqlite
        """,
        instead={
            # Each command begins in the folder of the test.
            "mkdir newer": "cd /var/lib/plugin-mirror; mkdir newer",
            "cp -p": "cd /var/lib/plugin-mirror; cp -p",
            "--data .": "--data /var/lib/plugin-mirror",
        },
    ),
    Page(
        "docs/BACKUP.md",
        setup="mkdir /mnt/backup; plugin-mirror pack contiv -t store/contiv/v2plugin:1.0 --data /srv/plugins",
        before={
            "plugin-mirror restore": "rm -r /srv/plugins",
            "plugin-mirror recover": "rm /srv/plugins/catalog.sqlite*",
        },
        left_out={
            "docker compose": "tests/e2e/test_compose.py runs it",
            "kubectl": "needs a cluster: tests/e2e/test_kubernetes.py runs the commands of the pod in its container",
        },
    ),
]
