"""Checks of the login at a registry, and of the plugin there. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from mirror.hosts.checks import engine_words
from mirror.hosts.checks.host_check import HostCheck, Step, ok, problem
from mirror.hosts.route.route_facts import ContentAnswers, RouteFacts, TokenAnswer
from mirror.oci.byte_sizes import shown_size
from mirror.oci.media_types import kind_of_content
from mirror.oci.printable_text import printable


def token_check(facts: RouteFacts) -> Iterator[HostCheck]:
    """Yield the check of the token, if the registry asked for one."""
    token = facts.token
    if token is None:
        return
    who = f"user {printable(token.username, 60)}" if token.username else "everybody"
    answer, realm = token.answer, printable(token.realm, 200)
    if not token.realm:
        yield from _login_check(facts, token, who)
        return
    if answer.problem:
        yield problem(
            "token",
            Step.INSTALL,
            _says(
                f"the token server {realm} cannot be used: {answer.problem}",
                engine_words.no_token(facts.engine.version),
            ),
            "let the mirror name an address that this host reaches: server.url in its configuration, or the headers of "
            "the reverse proxy in front of it",
        )
    elif answer.status == 200:
        yield ok("token", f"{realm} gives a token to {who}")
    elif answer.status in {401, 403}:
        reason, fix = answer.reason
        yield problem(
            "token",
            Step.INSTALL,
            _says(f"{realm} gives no token to {who}{reason}", engine_words.no_token(facts.engine.version)),
            fix or _log_in(facts),
        )
    else:
        yield problem(
            "token",
            Step.INSTALL,
            _says(f"{realm} answers {engine_words.status(answer.status)}", engine_words.no_token(facts.engine.version)),
            "look into the log of the token server",
        )


def _login_check(facts: RouteFacts, token: TokenAnswer, who: str) -> Iterator[HostCheck]:
    """Yield the check of a login at the registry itself."""
    if facts.content is not None and facts.content.manifest.status == 401:
        return  # the check of the manifest tells about a login that is missing or wrong
    if facts.content is not None or token.answer.status == 200:
        yield ok("login", f"the registry accepts the login of {who}")
        return
    told = f"refuses that of {who}" if token.username else "there is none"
    text = f"{facts.place.authority} wants a login, and {told}"
    words = engine_words.no_login(facts.engine.version)
    yield problem("login", Step.INSTALL, _says(text, words), _log_in(facts))


def content_checks(facts: RouteFacts) -> Iterator[HostCheck]:
    """Yield the checks of the manifest and the blobs of a reference."""
    content = facts.content
    if content is None or (facts.token is not None and facts.token.realm and facts.token.answer.status != 200):
        return
    found = _manifest(facts, content)
    yield found
    if content.read is None or not content.read.is_plugin:
        return
    missing = {digest: answer for digest, answer in content.blobs.items() if answer.status != 200}
    if missing:
        digest, answer = next(iter(missing.items()))
        why = answer.problem or engine_words.status(answer.status)
        text = f"{len(missing)} of {len(content.blobs)} blobs cannot be read: {digest} ({why})"
        yield problem(
            "blobs",
            Step.INSTALL,
            _says(text, engine_words.no_blob(facts.engine.version)),
            "at the mirror, heal what is damaged with 'plugin-mirror scrub', or copy the plugin again",
        )
    else:
        total = shown_size(content.read.content_size_bytes)
        yield ok("blobs", f"{len(content.blobs)} blobs are there, {total}")


def _manifest(facts: RouteFacts, content: ContentAnswers) -> HostCheck:
    reference, answer, version = content.reference, content.manifest, facts.engine.version
    if content.read is not None and content.read.is_plugin:
        return ok("manifest", f"{reference} is {content.read.digest}")
    if content.read is not None:
        kind = kind_of_content(None if content.read.config is None else content.read.config.media_type)
        fix = "name one of its members by its own tag" if kind == "index" else "pull images with: docker pull"
        article = "an" if kind[0] in "aeiou" else "a"
        return _problem(facts, f"{reference} is {article} {kind}, not a plugin", engine_words.no_plugin(version), fix)
    if content.unreadable:
        text = f"{reference} cannot be read: {content.unreadable}"
        return _problem(facts, text, engine_words.no_plugin(version), "copy or push the plugin again")
    if answer.status == 404:
        return _problem(facts, *_missing(facts, content))
    if answer.status in {401, 403}:
        return _problem(facts, *_refused(facts, content))
    why = answer.problem or engine_words.status(answer.status)
    said, fix = answer.reason
    fix = fix or "try again; look into the log of the server"
    return _problem(facts, f"{reference} cannot be read now{said}", why, fix)


def _missing(facts: RouteFacts, content: ContentAnswers) -> tuple[str, str, str]:
    reference, words = content.reference, engine_words.not_found(facts.engine.version, content.reference)
    if content.tags:
        fix = f"use a tag that is there, such as {', '.join(content.tags)}"
        return f"{facts.place.authority} has {reference.repository}, but not {reference.target}", words, fix
    text = f"{facts.place.authority} has no {reference.repository}"
    return text, words, "check the name; at the mirror, 'plugin-mirror ls' lists what is there, and 'sync' copies more"


def _refused(facts: RouteFacts, content: ContentAnswers) -> tuple[str, str, str]:
    answer, token, version = content.manifest, facts.token, facts.engine.version
    said, their_fix = answer.reason  # the server knows if an access rule or an admission rule refuses
    if answer.status == 403:
        fix = their_fix or "ask the operator of the mirror; there: plugin-mirror admission ls --all"
        return f"the mirror refuses {content.reference}{said}", engine_words.denied(version), fix
    words = engine_words.no_right(version) if token is not None and token.realm else engine_words.no_login(version)
    if token is not None and token.username:
        who = printable(token.username, 60)
        fix = f"give {who} the right pull under access: of the mirror; or log in again: {_log_in(facts)}"
        return f"user {who} may not pull {content.reference}{said}", words, fix
    return f"{content.reference} needs a login{said}", words, _log_in(facts)


def _problem(facts: RouteFacts, text: str, words: str, fix: str) -> HostCheck:
    said = _says(text, words)
    if (
        facts.speaks_plain_http
        and facts.engine.version is not None
        and engine_words.hides_errors_of_http(facts.engine.version)
    ):
        # Engines since 20.10 try HTTPS first, and show the error of that attempt.
        said += f', which this engine hides behind "{engine_words.HTTP_REFUSED}"'
    return problem("manifest", Step.INSTALL, said, fix)


def _log_in(facts: RouteFacts) -> str:
    return f"docker login {facts.place.authority}, as the user who installs the plugin"


def _says(text: str, words: str) -> str:
    return f'{text}; engines say: "{words}"'
