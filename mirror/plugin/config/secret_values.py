"""Secrets in a plugin's config, recognized by the names and the forms of values, and hidden wherever a config is shown.

Everybody who may pull a plugin can read its config. This module guesses: a name such as ``DB_PASSWORD`` or ``apikey``
makes its value a secret, unless the value is a path, a switch, a short number or a placeholder. Values such as private
keys, tokens of well-known services and URLs with a password are secrets under any name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from mirror.plugin.config.plugin_config import PluginConfig

#: Text shown in place of a secret.
HIDDEN: Final = "(hidden)"
#: Longest text that is searched, in characters. A longer one is hidden as a whole: real values are shorter than 4 KiB,
#: and a search blocks all threads of a process.
MOST_SEARCHED: Final = 16 * 1024

# Parts of a name: runs of capitals, capitalized words, lower-case words, digits. "DBPassword" is DB and Password.
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
#: Ends of the last word that make a name secret: "PGPASSWORD", "dbpass" and "accesstoken" have no separator.
_ENDS: Final = re.compile(
    r"(password|passwd|passphrase|passcode|secret|token|credential|(?<!by)(?<!com)(?<!tres)(?<!sur)pass"
    r"|(api|access|secret|private|auth|master|sign|signing|crypt|encryption|account|client|license|storage|shared"
    r"|service|admin|root|user|app|db|ssh|aes|hmac)key)s?\Z"
)
_NOUNS: Final = frozenset({"pwd", "pw", "psk", "cred", "creds", "authorization", "cookie"})
#: Words before "key" that name no secret. "KEY" alone is one, because ceph and others use it.
_PLAIN_KEYS: Final = frozenset(
    {"public", "pub", "primary", "foreign", "sort", "partition", "cache", "label", "map", "lookup", "hash", "group"}
)
#: Words after the noun that change nothing. Any other word does: "TOKEN_TTL", "KEY_FILE" and "SECRET_NAME" are plain.
_TRAILING: Final = frozenset({"value", "default", "base", "b", "hash", "plain", "plaintext", "text", "string", "data"})
_HINT: Final = re.compile(r"pass|pw|secret|token|cred|key|psk|auth|cookie", re.IGNORECASE)
_PASSWORDS: Final = re.compile(r"pass|pw")
_SWITCHES: Final = frozenset(
    {"true", "false", "yes", "no", "on", "off", "enabled", "disabled", "none", "null", "nil", "auto", "bearer", "basic"}
)
_MOST_PIN_DIGITS, _MOST_COUNT_DIGITS = 2, 5
#: Values that only point to a secret: a path, a URL (its password is found by its form), or the name of a resource.
_POINTER: Final = re.compile(r"(/|\./|\.\./|~/|[A-Za-z]:\\)[\w./\\ -]*|[a-z][a-z0-9+.-]{0,20}:(//|[a-z]+:).*")
_DURATION: Final = re.compile(r"[0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h|d)?")
#: Values that stand for a secret which somebody else fills in.
_PLACEHOLDER: Final = re.compile(
    r"\$\{.*\}|\$[A-Z_][A-Z0-9_]*|\{\{.*\}\}|%\w+%|<.*>|(.)\1{2,}|" + re.escape(HIDDEN), re.DOTALL
)

# Each pattern begins at the edge of a word, so that a long text is searched once and not from each of its letters.
_EDGE: Final = r"(?<![\w-])"
_FORMS: Final = re.compile(
    _EDGE + r"(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|xox[abprs]-[\w-]{10,}"
    r"|AIza[\w-]{35}|[srp]k_(?:live|test)_\w{16,}|npm_\w{36}|dckr_pat_[\w-]{20,}|dop_v1_[0-9a-f]{64}|hf_\w{30,}"
    r"|sk-[\w-]{20,}|hvs\.[\w-]{20,}|pmt_[\w-]{20,}|SG\.[\w-]{16,}\.[\w-]{16,}|AGE-SECRET-KEY-1\w{50,}"
    r"|eyJ[\w-]{5,}\.eyJ[\w-]{5,}\.[\w-]*)"
    r"|-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)",
    re.DOTALL,
)
_BEARER: Final = re.compile(r"(?<!\w)((?:bearer|basic)\s{1,4})(?=[a-z+/.~-]*[0-9=])[\w+/=.~-]{16,}", re.IGNORECASE)
#: The password of a URL, also one with a slash that should have been quoted, or a user name as long as a token.
_LOGIN: Final = re.compile(r"(://[^\s/?#:@]*:)([^\s/?#]+(?=@)|(?![0-9]+[/?#])[^\s@]{1,64}(?=@))|(://)([\w-]{20,})(?=@)")
#: The beginning of ``name=value``, ``name: value``, ``"name": "value"`` or ``--name value`` within a text.
_NAME: Final = re.compile(r"""(?<![\w.-])(-{0,2})([A-Za-z][\w.-]{0,100})(?:\\?["']?\s{0,4}[=:]\s{0,4}|\s{1,4}(?!-))""")
#: A value in quotes, also in JSON within JSON, or up to the next separator.
_VALUE: Final = re.compile(r"""(\\["'])(?:(?!\1).)*(?:\1)?|(")(?:[^"\\]|\\.)*"?|(')[^']*'?|[^\s,;&"'{}]+""", re.DOTALL)
#: A word of a command line or an option of a mount with its value.
_ASSIGNED: Final = re.compile(r"(-{0,2}([A-Za-z][\w.-]*)=)(.*)", re.DOTALL)


def is_secret_name(name: str) -> bool:
    """Return True if a setting, variable or flag of this name usually takes a secret."""
    # The quick search comes first, because a text may have a million names. The two names are those of a shell.
    if _HINT.search(name) is None or name in {"PWD", "OLDPWD"}:
        return False
    words = [word.lower() for word in _WORD.findall(name[:200])]
    while words and (words[-1] in _TRAILING or words[-1].isdigit()):
        words.pop()
    if not words:
        return False
    *before, last = words
    if last in {"key", "keys"}:
        # "KEYS" alone, and "LABEL_KEYS", are lists of names.
        return not _PLAIN_KEYS & set(before[-1:]) and (last == "key" or bool(before))
    if last == "auth":
        return before[-1:] == ["basic"]
    return last in _NOUNS or _ENDS.search(last) is not None


def masked(name: str, value: str) -> str:
    """Return a value with its secrets replaced by :data:`HIDDEN`.

    Args:
        name: name of the setting, variable or flag.
        value: its value.
    """
    if len(value) > MOST_SEARCHED or (is_secret_name(name) and _is_secret_of(name, value)):
        return HIDDEN
    return masked_text(value)


def masked_text(text: str) -> str:
    """Return a text in which each secret that is recognized by its form is replaced by :data:`HIDDEN`."""
    if len(text) > MOST_SEARCHED:
        return HIDDEN
    text = _FORMS.sub(HIDDEN, text)
    text = _BEARER.sub(rf"\1{HIDDEN}", text)
    return _LOGIN.sub(_masked_login, "".join(_masked_pairs(text)))


def masked_name(name: str) -> str:
    """Return the name of a setting or variable to show. By mistake, the name may be ``NAME=VALUE`` with a secret."""
    return _masked_word("", name) if "=" in name else name


def masked_words(words: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a command line with their secrets replaced by :data:`HIDDEN`."""
    return tuple(_masked_word(before, word) for before, word in zip(("", *words), words, strict=False))


def masked_values(value: Any, name: str = "") -> Any:
    """Return plain values with all secrets replaced by :data:`HIDDEN`. A list of texts is a command line.

    Args:
        value: texts, lists and objects.
        name: name of the member that holds the value.
    """
    if isinstance(value, Mapping):
        return {key: masked_values(one, key) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return list(masked_words(value)) if all(isinstance(one, str) for one in value) else list(value)
    return masked(name, value) if isinstance(value, str) else value


def without_secrets(config: PluginConfig) -> PluginConfig:
    """Return a config to show: all secrets in values, command lines and mounts are replaced by :data:`HIDDEN`."""
    args = config.args
    is_secret = masked(args.name, " ".join(args.value)) == HIDDEN
    return replace(
        config,
        entrypoint=masked_words(config.entrypoint),
        args=replace(args, value=(HIDDEN,) if is_secret else masked_words(args.value)),
        env=tuple(replace(env, name=masked_name(env.name), value=_masked(env.name, env.value)) for env in config.env),
        mounts=tuple(
            replace(mount, source=_masked(mount.name, mount.source), options=masked_words(mount.options))
            for mount in config.mounts
        ),
    )


def secrets_in(config: PluginConfig) -> Iterator[str]:
    """Yield a phrase for each part of a config that holds a secret, such as ``env DB_PASSWORD``, without its value."""
    shown = without_secrets(config)
    yield from (f"env {other.name}" for one, other in zip(config.env, shown.env, strict=True) if one != other)
    if config.entrypoint != shown.entrypoint:
        yield "entrypoint"
    if config.args != shown.args:
        yield "args"
    for mount, other in zip(config.mounts, shown.mounts, strict=True):
        if mount != other:
            yield f"mount {mount.name or mount.destination}"


def _masked(name: str, value: str | None) -> str | None:
    return None if value is None else masked(name, value)


def _masked_word(before: str, word: str) -> str:
    """Return a word of a command line without secrets. The word before may be a flag that takes it."""
    if before.startswith("-") and "=" not in before and not word.startswith("-"):
        return masked(before, word)
    # The end of the word is the end of the value, whatever signs the value has.
    assigned = _ASSIGNED.fullmatch(word)
    return masked_text(word) if assigned is None else assigned[1] + masked(assigned[2], assigned[3])


def _is_secret_of(name: str, value: str) -> bool:
    """Return True if the value of a secret name is a secret itself."""
    text = value.strip().strip("\\\"'")
    if not text or text.lower() in _SWITCHES or _PLACEHOLDER.fullmatch(text) or _POINTER.fullmatch(text):
        return False
    if not _DURATION.fullmatch(text):
        return True
    # A password may consist of digits. "TOKENS=4096" is a count.
    most = _MOST_PIN_DIGITS if _PASSWORDS.search(name.lower()) else _MOST_COUNT_DIGITS
    return text.isdigit() and len(text) > most


def _masked_pairs(text: str) -> Iterator[str]:
    """Yield the parts of a text, with the values of secret names replaced."""
    done = 0
    for match in _NAME.finditer(text):
        dashes, name = match.groups()
        # Words that only follow each other belong together after a flag. A bare "key" mostly means that of a pair.
        is_pair = bool(dashes) or not match[0][-1].isspace() or any(sign in match[0] for sign in "=:")
        if match.end() < done or not is_pair or name.lower() in {"key", "keys"} or not is_secret_name(name):
            continue
        value = _VALUE.match(text, match.end())
        if value is not None and _is_secret_of(name, value[0]):
            quote = value[1] or value[2] or value[3] or ""
            yield f"{text[done : match.end()]}{quote}{HIDDEN}{quote}"
            done = value.end()
    yield text[done:]


def _masked_login(match: re.Match[str]) -> str:
    before, secret = (match[1], match[2]) if match[2] is not None else (match[3], match[4])
    return match[0] if _PLACEHOLDER.fullmatch(secret) else f"{before}{HIDDEN}"
