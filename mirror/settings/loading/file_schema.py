"""The JSON Schema of the configuration file, where it differs from that of the sections."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema


class SchemaWithoutNull(GenerateJsonSchema):
    """A schema without null: a key may be omitted, and is never without a value."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Return the schema of a value that may be None in a section."""
        return self.generate_inner(schema["schema"])

    def function_plain_schema(self, schema: core_schema.PlainValidatorFunctionSchema) -> JsonSchemaValue:
        """Return the schema of a section that is imported late. No other function stands for a whole value."""
        section: type[BaseModel] = schema["metadata"]["late_section"].load()
        section.model_rebuild()
        return self.generate_inner(section.__pydantic_core_schema__)

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        """Return the default of a key. That of a section that is imported late is made here."""
        if schema["schema"]["type"] == "function-plain" and "default_factory" in schema:
            return schema["default_factory"]()  # type: ignore[call-arg]  # this one takes no values
        return super().get_default_value(schema)

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False for a section, because it has a title of its own."""
        return schema["type"] != "function-plain" and super().field_title_should_be_set(schema)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema of a value with a default. None means that there is none."""
        found: JsonSchemaValue = _without_none(super().default_schema(schema))
        return found


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list) else value
