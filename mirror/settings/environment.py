"""Settings from environment variables.

The module is imported only if such variables are set, because the import of pydantic-settings is slow.
"""

from __future__ import annotations

from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from mirror.oci.errors import ConfigurationFault
from mirror.settings.sections import Settings
from mirror.settings.server.listen_address import HostPort


def read(prefix: str) -> dict[str, Any]:
    """Return the settings in the environment as nested values.

    Args:
        prefix: prefix of the variables.

    Raises:
        ConfigurationFault: a value that must be JSON is not.
    """

    # Defined here, because pydantic-settings reads the prefix from the class and the prefix is an argument.
    class Environment(Settings, BaseSettings):
        """The sections, as pydantic-settings needs them."""

        model_config = SettingsConfigDict(env_prefix=prefix, env_nested_delimiter="__")

    try:
        return EnvironmentVariables(Environment)()
    except SettingsError as error:
        raise ConfigurationFault(f"environment: {error}; fix: write lists and objects as JSON") from error


class EnvironmentVariables(EnvSettingsSource):
    """Source of values from the environment. The error about an invalid value shows this class name."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Parse a value with parts as JSON. Leave ``HOST:PORT`` of an address as it is."""
        return value if field.annotation is HostPort else super().decode_complex_value(field_name, field, value)
