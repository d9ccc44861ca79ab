"""The conversation about who we are, held by hand: no server, no event loop."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from mirror.oci.errors import UpstreamBusy, UpstreamLied, UpstreamRefused
from mirror.upstream.auth import Attempt, Authorizer, Reply, TokenRequest
from mirror.upstream.credentials import Credentials

PULL = ("repository:a/b:pull",)
PUSH = ("repository:a/b:pull,push",)
LOGIN = Credentials("jimmy", "s3cret:with colon")
BASIC = "Basic " + base64.b64encode(b"jimmy:s3cret:with colon").decode()
BEARER = 'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull"'
TOKEN = Reply(200, body=b'{"token": "abc", "expires_in": 300}')


class HandClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic_seconds(self) -> float:
        return self.seconds


def authorizer(
    credentials: Credentials | None = None, clock: HandClock | None = None, *, plain_http: bool = False
) -> Authorizer:
    return Authorizer("hub", credentials, clock or HandClock(), plain_http=plain_http)


def talk(authorizer: Authorizer, *replies: Reply, scopes: tuple[str, ...] = PULL) -> list[Attempt | TokenRequest]:
    """Everything that is sent, when these replies come back, and then 200s."""
    flow = authorizer.flow(scopes)
    sent = [next(flow)]
    for reply in [*replies, Reply(200)]:
        try:
            sent.append(flow.send(reply))
        except StopIteration:
            break
    return sent


def test_anonymous_without_a_challenge() -> None:
    assert talk(authorizer()) == [Attempt(None)]


def test_basic_is_told_only_after_the_upstream_asked_and_then_each_time() -> None:
    auth = authorizer(LOGIN)
    assert talk(auth, Reply(401, ['Basic realm="x"'])) == [Attempt(None), Attempt(BASIC)]
    assert talk(auth) == [Attempt(BASIC)]


def test_refused_credentials_are_not_sent_twice() -> None:
    auth = authorizer(LOGIN)
    assert talk(auth, *[Reply(401, ['Basic realm="x"'])] * 3) == [Attempt(None), Attempt(BASIC)]
    assert talk(auth, Reply(401, ['Basic realm="x"'])) == [Attempt(BASIC)]


@pytest.mark.parametrize("challenge", ['Basic realm="x"', "Negotiate", "", 'Digest realm="x",nonce="y"', '"\\'])
def test_what_cannot_be_answered_ends_the_conversation(challenge: str) -> None:
    assert talk(authorizer(), Reply(401, [challenge])) == [Attempt(None)]


def test_an_anonymous_token() -> None:
    url = "https://auth.example/token?service=registry.example&scope=repository:a/b:pull"
    sent = talk(authorizer(), Reply(401, [BEARER]), TOKEN)
    assert sent == [Attempt(None), TokenRequest(url, None), Attempt("Bearer abc")]


def test_a_token_with_credentials_says_the_account() -> None:
    url = "https://auth.example/token?service=registry.example&scope=repository:a/b:pull&account=jimmy"
    sent = talk(authorizer(LOGIN), Reply(401, [BEARER]), TOKEN)
    assert sent == [Attempt(None), TokenRequest(url, BASIC), Attempt("Bearer abc")]


def test_bearer_is_preferred_over_basic_wherever_it_stands() -> None:
    sent = talk(authorizer(LOGIN), Reply(401, ['Basic realm="x"', BEARER]), TOKEN)
    assert sent[-1] == Attempt("Bearer abc")


def test_own_scopes_are_asked_for_where_the_challenge_names_none() -> None:
    sent = talk(authorizer(), Reply(401, ['Bearer realm="https://auth.example/token"']), TOKEN, scopes=PUSH)
    assert sent[1] == TokenRequest("https://auth.example/token?scope=repository:a/b:pull,push", None)


def test_a_challenge_may_ask_for_the_plugin_class() -> None:
    challenge = 'Bearer realm="https://auth.example/t?x=1",scope="repository(plugin):a/b:pull repository:a/b:pull"'
    sent = talk(authorizer(), Reply(401, [challenge]), TOKEN)
    wanted = "scope=repository%28plugin%29:a/b:pull&scope=repository:a/b:pull"
    assert sent[1] == TokenRequest(f"https://auth.example/t?x=1&{wanted}", None)


def test_tokens_are_kept_by_scope_until_shortly_before_they_expire() -> None:
    clock = HandClock()
    auth = authorizer(clock=clock)
    talk(auth, Reply(401, [BEARER]), TOKEN)
    assert talk(auth) == [Attempt("Bearer abc")]
    assert talk(auth, scopes=PUSH) == [Attempt(None)]
    clock.seconds += 289
    assert talk(auth) == [Attempt("Bearer abc")]
    clock.seconds += 1
    assert talk(auth) == [Attempt(None)]


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (b'{"token": "abc"}', 60),
        (b'{"access_token": "abc", "expires_in": 5}', 60),
        (b'{"token": "abc", "expires_in": true}', 60),
        (b'{"token": "abc", "expires_in": 1e9}', 60),
        (b'{"token": "abc", "expires_in": 99999999999}', 30 * 24 * 3600),
    ],
)
def test_lifetimes_that_are_no_lifetimes(body: bytes, seconds: int) -> None:
    clock = HandClock()
    auth = authorizer(clock=clock)
    talk(auth, Reply(401, [BEARER]), Reply(200, body=body))
    clock.seconds += seconds - 11
    assert talk(auth) == [Attempt("Bearer abc")]
    clock.seconds += 2
    assert talk(auth) == [Attempt(None)]


def test_a_token_that_is_refused_is_replaced_once() -> None:
    auth = authorizer()
    talk(auth, Reply(401, [BEARER]), TOKEN)
    new = Reply(200, body=b'{"token": "def"}')
    sent = talk(auth, Reply(401, [BEARER]), new, Reply(401, [BEARER]))
    assert [step for step in sent if isinstance(step, Attempt)] == [Attempt("Bearer abc"), Attempt("Bearer def")]


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        (Reply(401), UpstreamRefused, "answered 401 to user jimmy: check the password"),
        (Reply(403), UpstreamRefused, "answered 403"),
        (Reply(404), UpstreamRefused, "answered 404"),
        (Reply(429), UpstreamBusy, "answered 429"),
        (Reply(503), UpstreamBusy, "answered 503"),
        (Reply(200, body=b"<html>"), UpstreamLied, "not JSON"),
        (Reply(200, body=b"[]"), UpstreamLied, "not a JSON object"),
        (Reply(200, body=b"{}"), UpstreamLied, "holds no token"),
        (Reply(200, body=b'{"token": 7}'), UpstreamLied, "holds no token"),
        (Reply(200, body=b'{"token": "a\\r\\nX-Evil: 1"}'), UpstreamLied, "holds no token"),
    ],
)
def test_a_token_server_that_does_not_help(reply: Reply, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as raised:
        talk(authorizer(LOGIN), Reply(401, [BEARER]), reply)
    assert "upstream hub: token server auth.example" in str(raised.value)


@pytest.mark.parametrize(
    "realm",
    [
        "",
        "/token",
        "ftp://auth.example/",
        "https://",
        "https://[::1",
        "https://u:p@auth.example/",
        "file:///etc/passwd",
    ],
)
def test_a_realm_must_be_a_url(realm: str) -> None:
    with pytest.raises(UpstreamLied, match="which is no URL"):
        talk(authorizer(LOGIN), Reply(401, [f'Bearer realm="{realm}"']))


def test_no_credentials_leave_unencrypted_unless_the_upstream_is_meant_to_be_so() -> None:
    challenge = Reply(401, ['Bearer realm="http://auth.example/token"'])
    with pytest.raises(UpstreamLied, match="not encrypted"):
        talk(authorizer(LOGIN), challenge)
    assert isinstance(talk(authorizer(LOGIN, plain_http=True), challenge, TOKEN)[1], TokenRequest)


def test_secrets_are_not_shown() -> None:
    sent = talk(authorizer(LOGIN), Reply(401, [BEARER]), TOKEN)
    assert "s3cret" not in repr([LOGIN, *sent, TOKEN])
    assert "abc" not in repr([*sent, TOKEN])
    assert BASIC not in repr(sent)
