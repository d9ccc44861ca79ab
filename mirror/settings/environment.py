"""Settings out of the environment. Imported only where it holds some: pydantic-settings takes its time."""

from __future__ import annotations

from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from mirror.oci.errors import ConfigurationFault
from mirror.settings.listen_address import HostPort
from mirror.settings.sections import Settings


def read(prefix: str) -> dict[str, Any]:
    """What the environment says, as nested values.

    Args:
        prefix: what the names of its variables begin with.

    Raises:
        ConfigurationFault: what should be JSON is not.
    """

    class Environment(Settings, BaseSettings):
        """The same sections, as pydantic-settings finds them."""

        model_config = SettingsConfigDict(env_prefix=prefix, env_nested_delimiter="__")

    try:
        return EnvironmentVariables(Environment)()
    except SettingsError as error:
        raise ConfigurationFault(f"environment: {error}; lists and objects are written as JSON") from error


class EnvironmentVariables(EnvSettingsSource):
    """Where they are read; named so because a wrong value's error gives this name."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """A value that has parts is JSON; an address is not, it is written HOST:PORT."""
        return value if field.annotation is HostPort else super().decode_complex_value(field_name, field, value)
