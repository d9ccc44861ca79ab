"""Kinds of values that several sections have, each with its own words about a wrong value."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.oci.name_pattern import NamePattern

#: Bounds of numbers and durations. Calendars end in the year 9999, and numbers of SQLite at 2⁶³.
MOST_BYTES: Final = 10**18
MOST_COUNT: Final = 10**9
LONGEST_DAYS: Final = 36_500
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile("([0-9]{1,20})([smhd])")

#: A class of characters in a glob. The first character may be a bracket.
_CLASS: Final = re.compile(r"\[!?.[^]]*\]", re.DOTALL)
_VARIABLE: Final = re.compile(r"\$\{([^{}]*)\}")
#: What shells and systemd would expand, and this program does not.
_NO_PATHS: Final = (
    (r"\$\{(?![A-Za-z_][A-Za-z0-9_]*\})[^}]*\}", "has more than a name in ${}; fix: write ${NAME}, such as ${HOME}"),
    (r"\$\{[^}]*$", "has a ${ without its }; fix: write ${NAME}, such as ${HOME}"),
    (r"(^|/)\$[A-Z_][A-Z0-9_]*(/|$)", "has a variable without braces; fix: write ${NAME}, such as ${HOME}"),
    (r"(^|/)%[A-Za-z](/|$)", "has a % that only units of systemd know; fix: write ${NAME}, such as ${HOME}"),
)


@dataclass(frozen=True)
class TextForm:
    """A text that matches a regular expression.

    Attributes:
        pattern: the regular expression, also in the JSON Schema.
        told: what is wrong with another text, and the fix. The text itself is not part of it.
    """

    pattern: str
    told: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": self.pattern}

    def _check(self, text: str) -> str:
        if re.search(self.pattern, text) is None or "\n" in text:
            raise ValueError(self.told)
        return text


def checked_by(parse: Callable[[str], object]) -> AfterValidator:
    """Return a validator that accepts the texts that ``parse`` accepts, and keeps them as they are.

    Args:
        parse: a function that raises MirrorError with what is wrong, and the fix.
    """

    def check(text: str) -> str:
        try:
            parse(text)
        except MirrorError as error:
            raise ValueError(str(error)) from error
        return text

    return AfterValidator(check)


def expanded(path: Path) -> Path:
    """Return a path with ``~`` and ``${NAME}`` replaced. Raises ValueError if that cannot be done."""
    text = str(path)
    if told := next((told for pattern, told in _NO_PATHS if re.search(pattern, text)), None):
        raise ValueError(told)
    try:
        return Path(_VARIABLE.sub(_of_environment, text)).expanduser()
    except RuntimeError as error:
        raise ValueError("begins with ~, and there is no such user or home; fix: write the whole path") from error


def _of_environment(match: re.Match[str]) -> str:
    value = os.environ.get(match[1])
    if not value:
        # Without a slash in the path, the name is perhaps a secret.
        name = f" {match[1][:60]}" if "/" in match.string else ""
        raise ValueError(f"the variable{name} is not set; fix: set it, or write the whole path")
    return value


def _check_path(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        # pathlib would make the current folder of it.
        raise ValueError("is no path; fix: write the path of a file or folder, such as /srv/plugins")
    if isinstance(value, str) and "\n" in value:
        # Errors show paths, and this is perhaps a key.
        raise ValueError("is the content of a file; fix: write it into a file, and the path of the file here")
    return value


#: A path in which ``~`` and ``${NAME}`` are expanded. This is the only place that does so.
FilePath = Annotated[Path, BeforeValidator(_check_path, json_schema_input_type=Path), AfterValidator(expanded)]


# Imported late, because few configurations have such values.
def _check_tag_pattern(text: str) -> None:
    from mirror.transfer.tags.tag_selection import TagPattern

    if not text:
        raise ConfigurationFault("is empty; fix: write a glob such as v*, or '*' for every tag")
    try:
        TagPattern(text)
    except ConfigurationFault as error:
        raise ConfigurationFault(
            "is too long or no regular expression; fix: close its brackets, and use the syntax of RE2"
        ) from error
    # fnmatch takes a bracket without an end for the sign itself, which no tag has.
    if not text.startswith("/") and "[" in _CLASS.sub("", text):
        raise ConfigurationFault("the [ of the glob has no ]; fix: close it, as in [0-9]")


def _check_platform(text: str) -> None:
    from mirror.oci.platform_selection import ImagePlatform

    ImagePlatform.parse(text)


def _check_repository_pattern(text: str) -> None:
    if "**" in text.split("/")[:-1]:
        raise ConfigurationFault("** is not at the end; fix: write * for one component, and ** for the rest at the end")
    try:
        NamePattern(text)
    except ConfigurationFault as error:
        raise ConfigurationFault(
            "is no name of repositories; fix: use a-z and 0-9, with . _ - between them, / between components, * for "
            "one component and ** for the rest"
        ) from error


def _check_source(text: str) -> None:
    upstream, _, repository = text.partition("/")
    if not upstream or not repository:
        raise ConfigurationFault(
            f"{text!r} is not UPSTREAM/REPOSITORY; fix: write the name of an upstream and a repository, such as "
            "hub/acme/driver"
        )
    _check_repository_pattern(repository)


#: Words about a target whose wildcards are not those of its source.
OTHER_WILDCARDS: Final = "does not have the * and ** of from; fix: write the same ones in the same order"
#: ``UPSTREAM/REPOSITORY``, with ``*`` and ``**``.
SourceText = Annotated[str, checked_by(_check_source)]
#: Names of rules in messages, of files, and on the command line.
RuleName = Annotated[
    str,
    TextForm(
        r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        "is no name of a rule; fix: use at most 64 letters, digits and . _ -, and begin with a letter or digit",
    ),
]
#: Names of repositories, with ``*`` and ``**``.
RepositoryPattern = Annotated[str, checked_by(_check_repository_pattern)]
#: A platform of images, such as linux/arm/v7.
PlatformText = Annotated[str, checked_by(_check_platform)]
#: A glob for tags, or a regular expression between slashes.
TagPatternText = Annotated[str, checked_by(_check_tag_pattern)]


def not_longer(days: int) -> AfterValidator:
    """Return a validator that refuses durations of more days. Other words, such as forever, are accepted."""

    def check(text: str) -> str:
        if (match := _DURATION.fullmatch(text)) and int(match[1]) * _SECONDS[match[2]] > days * _SECONDS["d"]:
            raise ValueError(f"is too long; fix: write {days}d or less")
        return text

    return AfterValidator(check)


#: Refuses lengths of time that calendars cannot add to a date.
NOT_TOO_LONG: Final = not_longer(LONGEST_DAYS)
#: The form of a length of time of at least a second.
DURATION_FORM: Final = TextForm(
    r"^[1-9][0-9]{0,19}[smhd]$", "is not a duration; fix: write it without spaces, such as 90s, 30m, 6h or 7d"
)
#: A length of time of at least a second, such as 6h.
Duration = Annotated[str, DURATION_FORM, NOT_TOO_LONG]
