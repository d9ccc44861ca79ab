import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import ContentTooLarge, ManifestInvalid, MirrorError
from mirror.plugin.config.plugin_config import (
    MAX_CONFIG_BYTES,
    MAX_CONFIG_VALUES,
    Args,
    Device,
    Env,
    Interface,
    Mount,
    PluginConfig,
)


def parsed(value):
    return PluginConfig.parse(json.dumps(value).encode())


def test_every_member_is_read():
    config = parsed(
        {
            "Args": {"Name": "args", "Description": "d", "Settable": ["value"], "Value": ["-v", "x"]},
            "Description": "a driver",
            "DockerVersion": "20.10.24",
            "Documentation": "https://example.com",
            "Entrypoint": ["/bin/driver", "serve"],
            "Env": [{"Name": "DEBUG", "Description": "d", "Settable": ["value"], "Value": "0"}],
            "Interface": {"Socket": "d.sock", "Types": ["docker.volumedriver/1.0"], "ProtocolScheme": ""},
            "IpcHost": True,
            "Linux": {
                "AllowAllDevices": True,
                "Capabilities": ["CAP_SYS_ADMIN"],
                "Devices": [{"Name": "fuse", "Description": "d", "Settable": None, "Path": "/dev/fuse"}],
            },
            "Mounts": [
                {
                    "Name": "state",
                    "Description": "d",
                    "Settable": ["source"],
                    "Source": "/var/lib/x",
                    "Destination": "/x",
                    "Type": "bind",
                    "Options": ["rbind"],
                }
            ],
            "Network": {"Type": "host"},
            "PidHost": True,
            "PropagatedMount": "/mnt",
            "User": {"UID": 7, "GID": 8},
            "WorkDir": "/data",
            "rootfs": {"type": "layers", "diff_ids": ["sha256:00"]},
        }
    )
    assert config == PluginConfig(
        description="a driver",
        documentation="https://example.com",
        entrypoint=("/bin/driver", "serve"),
        work_dir="/data",
        user_ids=(7, 8),
        interface=Interface(("docker.volumedriver/1.0",), "d.sock"),
        network_type="host",
        ipc_host=True,
        pid_host=True,
        propagated_mount="/mnt",
        env=(Env("DEBUG", "d", "0", ("value",)),),
        mounts=(Mount("state", "d", "/var/lib/x", "/x", "bind", ("rbind",), ("source",)),),
        args=Args("args", "d", ("-v", "x"), ("value",)),
        capabilities=("CAP_SYS_ADMIN",),
        allow_all_devices=True,
        devices=(Device("fuse", "d", "/dev/fuse"),),
        diff_ids=("sha256:00",),
        docker_version="20.10.24",
    )


@pytest.mark.parametrize("key", ["workdir", "WorkDir", "WORKDIR", "workDir"])
def test_the_case_of_keys_does_not_matter(key):
    assert parsed({key: "/data"}).work_dir == "/data"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('{"WorkDir": "/a", "workdir": "/b"}', "WorkDir"),
        ('{"mounts": [{"Source": "/"}], "Mounts": [{}]}', "Mounts"),
        ('{"Mounts": [], "Mount\u017f": []}', "Mounts"),
        ('{"Linux": {"Capabilities": [], "capabilities": null}}', "Linux.Capabilities"),
        ('{"Mounts": [{"Source": "/", "source": null}]}', "Mounts[0].Source"),
        ('{"linux": {}, "LINUX": {}}', "Linux"),
    ],
)
def test_a_member_that_is_there_twice_is_refused(content, place):
    with pytest.raises(ManifestInvalid, match="more than once") as caught:
        PluginConfig.parse(content.encode())
    assert caught.value.detail["at"] == place


def test_unknown_members_may_be_there_twice():
    assert PluginConfig.parse(b'{"Label": 1, "label": 2, "X": {"a": 1, "A": 2}, "WorkDir": "/a"}').work_dir == "/a"


def test_case_is_what_go_takes_for_case():
    assert parsed({"Mount\u017f": [], "\u212aey": 1, "Wor\u212aDir": "/data"}).work_dir == "/data"


def test_nothing_is_required():
    config = parsed({})
    assert (config.entrypoint, config.env, config.interface) == ((), (), Interface())
    assert config == parsed(dict.fromkeys(["Env", "Linux", "Network", "Args", "Mounts", "IpcHost", "WorkDir"]))


@pytest.mark.parametrize(
    ("content", "description"),
    [
        (b'{"Description": "a\xffb"}', "a\ufffdb"),
        (b'{"Description": "a\\ud800b"}', "a\ufffdb"),
        (b'{"Description": "\\ud83d\\udc33"}', "\U0001f433"),
    ],
)
def test_text_that_is_no_unicode_is_read_as_go_reads_it(content, description):
    assert PluginConfig.parse(content).description == description


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_only_utf_8_is_read(encoding):
    with pytest.raises(ManifestInvalid):
        PluginConfig.parse("{}".encode(encoding))


def test_null_and_empty_values_are_told_apart():
    config = parsed({"Mounts": [{"Source": None}, {"Source": ""}], "Env": [{"Name": "A"}, {"Name": "B", "Value": ""}]})
    assert [mount.source for mount in config.mounts] == [None, ""]
    assert [env.value for env in config.env] == [None, ""]


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"Env": {}}, "Env"),
        ({"Env": ["A=b"]}, "Env[0]"),
        ({"Mounts": [{}, {"Source": 1}]}, "Mounts[1].Source"),
        ({"Linux": {"Capabilities": "CAP_SYS_ADMIN"}}, "Linux.Capabilities"),
        ({"Linux": {"AllowAllDevices": 1}}, "Linux.AllowAllDevices"),
        ({"Entrypoint": [1]}, "Entrypoint"),
        ({"Network": "host"}, "Network"),
        ({"WorkDir": []}, "WorkDir"),
        ({"User": {"UID": -1}}, "User.UID"),
        ({"User": {"gid": 2**32}}, "User.GID"),
        ({"User": {"gid": 1.0}}, "User.GID"),
        ({"User": {"uid": True}}, "User.UID"),
    ],
)
def test_a_member_of_the_wrong_kind_is_named(value, place):
    with pytest.raises(ManifestInvalid) as caught:
        parsed(value)
    assert caught.value.detail == {"at": place}


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"{} {}", b"\xff\xfe", b"[" * 100_000, b'{"x": NaN}'])
def test_what_is_no_config(content):
    with pytest.raises(ManifestInvalid):
        PluginConfig.parse(content)


def test_a_config_with_too_many_values_is_refused_unread(monkeypatch):
    content = b'{"x": [' + b"1," * MAX_CONFIG_VALUES + b"1]}"
    monkeypatch.delattr(json, "loads")
    with pytest.raises(ManifestInvalid, match="too many members: at most 20000 values"):
        PluginConfig.parse(content)


def test_a_config_that_is_too_large():
    with pytest.raises(ContentTooLarge):
        PluginConfig.parse(b" " * (MAX_CONFIG_BYTES + 1))


members = st.sampled_from(["Args", "Env", "Linux", "Mounts", "Interface", "rootfs", "network", "IPCHOST", "workdir"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(members | st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_whatever_it_holds_only_errors_of_the_tree_are_raised(value):
    try:
        parsed(value)
    except MirrorError as error:
        assert isinstance(error, ManifestInvalid)


def test_a_long_s_is_an_s_as_engines_read_it():
    assert PluginConfig.parse('{"Linux": {"AllowAllDevice\u017f": true}, "\u212aey": 1}'.encode()).allow_all_devices
