"""Settings from variables of the environment: ``PLUGIN_MIRROR_SECTION__KEY``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mirror.oci.errors import ConfigurationFault
from mirror.oci.printable_text import printable
from mirror.settings.loading.model_keys import is_list, is_structured, kinds_at
from mirror.settings.loading.value_origins import PREFIX, leaves
from mirror.settings.sections import Settings

if TYPE_CHECKING:
    from mirror.settings.loading.yaml_reading import Place

#: Variables that are not settings. The command line reads them.
OF_COMMANDS: Final = frozenset({"CONFIG", "KEY_PASSWORD"})
#: Variables that Kubernetes sets for each Service whose name begins with plugin-mirror, and Docker for each link to a
#: container with such a name. The value tells PORT and NAME from misspelled settings.
_FOREIGN: Final = re.compile(
    r"PLUGIN_MIRROR_(?:[A-Z0-9_]+_)??"
    r"(?:(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)*|ENV_[^=]+)=.*"
    r"|PORT=(?:tcp|udp|sctp)://.*|NAME=/.*)",
    re.DOTALL,
)


@dataclass
class Variables:
    """Settings in the environment.

    Attributes:
        values: the settings, nested.
        names: name of the variable by the place of its setting.
        unknown: one sentence for each variable that has the prefix and is no setting.
    """

    values: dict[str, Any] = field(default_factory=dict)
    names: dict[Place, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def read_variables(environment: Mapping[str, str]) -> Variables:
    """Return the settings in an environment. Variables that Kubernetes and Docker set are ignored.

    Raises:
        ConfigurationFault: a value is not YAML, or a variable names an item of a list.
    """
    found = Variables()
    ours = {name: value for name, value in environment.items() if name.upper().startswith(PREFIX)}
    # A variable for a key has priority over one for its section.
    for name in sorted(ours, key=lambda name: (name.count("__"), name)):
        rest = name[len(PREFIX) :]
        place = tuple(rest.lower().split("__"))
        # An upstream may be called env, so settings come before the variables of others.
        _refuse_items(name, place)
        if not (kinds := kinds_at(Settings, place)):
            if rest.upper() not in OF_COMMANDS and not _FOREIGN.fullmatch(f"{name}={ours[name]}"):
                found.unknown.append(_unknown(name, place))
            continue
        value: Any = _value(name, ours[name], place, structured=any(map(is_structured, kinds)))
        found.names.update((below, name) for below in leaves(value, place))
        for part in reversed(place):
            value = {part: value}
        found.values = over(found.values, value)
    return found


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested mappings. A value in ``above`` replaces the value in ``below``."""
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = over(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged


def _value(name: str, text: str, place: Sequence[str], *, structured: bool) -> Any:
    if not text.strip():
        return None  # docker compose sets such variables: NAME=${NAME:-}
    # An address such as [::1]:5000 begins like a list, and is none.
    if not structured or not text.lstrip().startswith(("[", "{")):
        return text
    from mirror.settings.loading.yaml_reading import read_yaml  # late: most variables are plain texts

    try:
        return read_yaml(text, name).value
    except ConfigurationFault as fault:
        told = str(fault).partition(": ")[2].rpartition(", fix: ")[0]
        fix = 'write JSON such as ["a", "b"] or {"KEY": "VALUE"}'
        raise ConfigurationFault(f"{name}: {'.'.join(place)}: {told}, fix: {fix}") from None


def _refuse_items(name: str, place: Sequence[str]) -> None:
    for length in range(1, len(place)):
        kinds = kinds_at(Settings, place[:length])
        if kinds and all(is_list(kind) for kind in kinds):
            whole = PREFIX + "__".join(place[:length]).upper()
            raise ConfigurationFault(
                f"{name}: {printable('.'.join(place), 80)}: a variable cannot change one item of a list, fix: write "
                f"the whole list as JSON into {whole}"
            )


def _unknown(name: str, place: Sequence[str]) -> str:
    from mirror.settings.loading.near_variables import near_variable  # late: most environments have no such variable

    near = near_variable(place)
    fix = f"write {PREFIX}{near.upper()}, or unset it" if near else "unset it"
    return f"{printable(name, 80)} is no setting and has no effect, fix: {fix}"
