import json

from mirror.plugin.config import settable
from mirror.plugin.config.plugin_config import PluginConfig


def found(value):
    config = PluginConfig.parse(json.dumps(value).encode())
    return [(item.kind, item.key, item.default, item.must_be_set) for item in settable.list_settings(config)]


def test_each_kind_and_its_default():
    value = {
        "env": [{"name": "DEBUG", "value": "0", "settable": ["value"]}, {"name": "TOKEN", "settable": ["value"]}],
        "mounts": [{"name": "state", "source": "/x", "settable": ["source"]}, {"name": "key", "settable": ["source"]}],
        "linux": {"devices": [{"name": "disk", "settable": ["path"]}]},
        "args": {"name": "args", "value": ["-a", "b"], "settable": ["value"]},
    }
    assert found(value) == [
        ("env", "DEBUG", "0", False),
        ("env", "TOKEN", None, False),
        ("mount", "state", "/x", False),
        ("mount", "key", None, True),
        ("device", "disk", None, True),
        ("args", "args", "-a b", False),
    ]


def test_what_is_not_settable_is_not_listed():
    assert found({"env": [{"name": "A", "value": "1"}, {"name": "B", "settable": ["name"]}]}) == []


def test_the_field_is_named_where_several_are_settable():
    value = {"mounts": [{"name": "state", "source": "/x", "settable": ["source", "destination"]}]}
    assert found(value) == [("mount", "state.source", "/x", False)]
