"""``pack``, ``unpack`` and ``capture`` on the command line."""

import json
import os
from pathlib import Path

import pytest

from mirror.cli.command_line import run


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


@pytest.fixture
def driver():
    folder = Path("driver")
    (folder / "rootfs/bin").mkdir(parents=True)
    (folder / "rootfs/bin/driver").write_bytes(b"\x7fELF")
    os.utime(folder / "rootfs/bin/driver", (5, 1_400_000_000))
    (folder / "config.json").write_text('{"Entrypoint": ["/bin/driver"]}')
    (folder / "config.template").write_text('{"Entrypoint": ["/bin/driver"], "Description": "PluginName"}')
    return folder


def packed(capsys, *arguments):
    assert run(["pack", "driver", "-t", "acme/driver:1", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("driver")
def test_a_folder_is_packed_listed_and_unpacked(capsys):
    digest = packed(capsys)["digest"]
    assert run(["ls", "acme/driver", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["digest"] == digest
    assert run(["unpack", "acme/driver:1", "again"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == "docker plugin create acme/driver:1 again"
    assert run(["pack", "again", "-t", "acme/again", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == digest


def test_a_secret_in_the_config_is_warned_about(driver, capsys):
    config = {"Entrypoint": ["/bin/driver"], "Env": [{"Name": "apikey", "Value": "q7Rz"}, {"Name": "KEYBOARD"}]}
    (driver / "config.json").write_text(json.dumps(config))
    for arguments in ([], ["-o", "driver.tar"]):
        assert run(["pack", "driver", "-t", "acme/driver:1", *arguments]) == 0
        told = capsys.readouterr()
        assert "look like secrets, by their names or values: env apikey (" in told.err
        assert "; fix: leave the value empty in the config" in told.err
        assert "q7Rz" not in told.out + told.err


@pytest.mark.usefixtures("driver")
def test_the_time_that_nothing_is_younger_than_can_be_set(capsys, monkeypatch):
    first = packed(capsys)["digest"]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1500000000")
    assert packed(capsys)["digest"] != first
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert packed(capsys)["digest"] == first


@pytest.mark.usefixtures("driver")
def test_a_file_is_written_and_no_store(capsys):
    assert packed(capsys, "-o", "driver.tar")["file"] == "driver.tar"
    assert sorted(path.name for path in Path().iterdir()) == ["driver", "driver.tar"]


@pytest.mark.usefixtures("driver")
def test_what_a_file_holds_is_looked_at_and_unpacked(capsys):
    digest = packed(capsys, "-o", "driver.tar")["digest"]
    assert run(["inspect", "driver.tar:acme/driver:1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["digest"], "install" in found) == (digest, False)
    # The file of four bytes is no program, which lint reports.
    assert run(["lint", "driver.tar:acme/driver:1", "--json"]) == 1
    assert run(["diff", "driver.tar:acme/driver:1", "driver"]) == 0
    assert run(["unpack", "driver.tar:acme/driver:1", "again"]) == 0
    assert "docker plugin create acme/driver:1 again" in capsys.readouterr().out
    assert run(["inspect", "driver.tar:acme/driver:2"]) == 1
    assert "names: acme/driver:1" in capsys.readouterr().err


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (["pack", "nothing", "-t", "a"], 2, "nothing is not a folder"),
        (["pack", "driver", "-t", "A"], 2, "is not a repository name"),
        (["pack", "driver", "-t", f"a@sha256:{'0' * 64}"], 2, "write NAME:TAG"),
        (["pack", "driver", "-t", "127.0.0.1:1/a", "-o", "x.tar"], 2, "a name in a file has no host"),
        (["pack", "driver", "-t", "a", "--set", "x"], 2, "is not KEY=VALUE"),
        (["pack", "driver", "-t", "a", "--set", "x=1", "--set", "x=2"], 2, "given twice"),
        (["pack", "driver", "-t", "a", "--set", "x=1"], 2, "--set PluginName=VALUE"),
        (["pack", "driver", "-t", "a", "--rootfs", "nothing"], 2, "nothing cannot be read: No such file"),
        (["pack", "driver", "-t", "a", "-o", "no/where.tar"], 5, "cannot be written: No such file"),
        (["pack", "driver", "-t", "127.0.0.1:9/a"], 3, "127.0.0.1:9"),
        (["unpack", "a:1", "out"], 2, "no data folder"),
        (["unpack", "127.0.0.1:9/a:1", "out"], 3, "127.0.0.1:9"),
        (["unpack", "a:1", "driver"], 2, "no data folder"),
        (["capture", "x", "-t", "a", "--docker-root", "driver"], 2, "driver/plugins cannot be read"),
    ],
)
def test_what_is_wrong_is_told_in_words(arguments, exit_code, told, capsys):
    assert run(arguments) == exit_code
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1
    assert not Path("out").exists()


@pytest.mark.usefixtures("driver")
def test_a_host_that_the_configuration_knows_is_reached_as_it_says(capsys):
    Path("c.yaml").write_text("upstreams: {site: {url: 'http://127.0.0.1:9', plain_http: true, offline: true}}")
    assert run(["pack", "driver", "-t", "127.0.0.1:9/a", "--config", "c.yaml"]) == 3
    assert "upstream site is configured as offline" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["tomorrow", "-1", "9" * 20])
@pytest.mark.usefixtures("driver")
def test_a_time_that_is_none_is_refused(text, capsys, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    assert run(["pack", "driver", "-t", "a"]) == 2
    assert "SOURCE_DATE_EPOCH" in capsys.readouterr().err
