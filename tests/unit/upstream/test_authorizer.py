"""The authorization exchange, driven by hand without a server and an event loop."""

from __future__ import annotations

import base64
from contextlib import suppress
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import UpstreamBusy, UpstreamFault, UpstreamProtocolError, UpstreamRefused, UpstreamUnreachable
from mirror.upstream.auth.auth_steps import Attempt, AuthReply, ChallengeRequest, LoginRequired, TokenRequest
from mirror.upstream.auth.authorizer import Authorizer
from mirror.upstream.auth.credentials import Credentials
from tests.support.clocks import HandClock

PULL = ("repository:a/b:pull",)
PUSH = ("repository:a/b:pull,push",)
LOGIN = Credentials("jimmy", "s3cret:with colon")
BASIC = "Basic " + base64.b64encode(b"jimmy:s3cret:with colon").decode()
BEARER = 'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull"'
TOKEN = AuthReply(200, body=b'{"token": "abc", "expires_in": 300}')


class Party(Authorizer):
    """An authorizer with its login."""

    def __init__(self, login: Credentials | None, clock: HandClock, *, plain_http: bool) -> None:
        super().__init__("hub", clock, plain_http=plain_http)
        self.login = login


def authorizer(login: Credentials | None = None, clock: HandClock | None = None, *, plain_http: bool = False) -> Party:
    return Party(login, clock or HandClock(), plain_http=plain_http)


def talk(
    party: Party, *replies: AuthReply | UpstreamFault, scopes: tuple[str, ...] = PULL
) -> list[Attempt | TokenRequest | ChallengeRequest]:
    """Return everything that is sent in answer to these replies, which are followed by 200s."""
    coming = iter(replies)
    sent: list[Attempt | TokenRequest | ChallengeRequest] = []
    flow = party.flow(scopes)
    step = next(flow)
    while True:
        answer: AuthReply | Credentials | UpstreamFault | None = party.login
        if not isinstance(step, LoginRequired):
            sent.append(step)
            answer = next(coming, AuthReply(200))
        try:
            step = flow.throw(answer) if isinstance(answer, UpstreamFault) else flow.send(answer)
        except StopIteration:
            return sent


def posted(request: Attempt | TokenRequest | ChallengeRequest) -> dict[str, str]:
    """Return the form of a token request."""
    assert isinstance(request, TokenRequest)
    assert request.form is not None
    assert request.authorization is None
    return {name: " ".join(values) for name, values in parse_qs(request.form.decode(), strict_parsing=True).items()}


def test_anonymous_without_a_challenge() -> None:
    assert talk(authorizer()) == [Attempt(None)]


def test_basic_is_told_only_after_the_upstream_asked_and_then_each_time() -> None:
    auth = authorizer(LOGIN)
    assert talk(auth, AuthReply(401, ['Basic realm="x"'])) == [Attempt(None), Attempt(BASIC)]
    assert talk(auth) == [Attempt(BASIC)]


def test_refused_credentials_are_not_sent_twice() -> None:
    auth = authorizer(LOGIN)
    assert talk(auth, *[AuthReply(401, ['Basic realm="x"'])] * 3) == [Attempt(None), Attempt(BASIC)]
    assert talk(auth, AuthReply(401, ['Basic realm="x"'])) == [Attempt(BASIC)]


@pytest.mark.parametrize("challenge", ['Basic realm="x"', "Negotiate", "", 'Digest realm="x",nonce="y"', '"\\'])
def test_what_cannot_be_answered_ends_the_conversation(challenge: str) -> None:
    assert talk(authorizer(), AuthReply(401, [challenge])) == [Attempt(None)]


def test_an_anonymous_token() -> None:
    url = "https://auth.example/token?service=registry.example&scope=repository:a/b:pull"
    sent = talk(authorizer(), AuthReply(401, [BEARER]), TOKEN)
    assert sent == [Attempt(None), TokenRequest(url, None), Attempt("Bearer abc")]


def test_a_password_is_posted() -> None:
    sent = talk(authorizer(LOGIN), AuthReply(401, [BEARER]), TOKEN)
    assert posted(sent[1]) == {
        "grant_type": "password",
        "service": "registry.example",
        "client_id": "docker-plugin-mirror",
        "scope": "repository:a/b:pull",
        "username": "jimmy",
        "password": "s3cret:with colon",
    }
    assert sent[1].url == "https://auth.example/token"
    assert sent[2] == Attempt("Bearer abc")


@pytest.mark.parametrize("status", [400, 401, 404, 405])
def test_a_token_server_without_post_is_asked_by_get_and_from_then_on_by_get_alone(status: int) -> None:
    url = "https://auth.example/token?service=registry.example&scope=repository:a/b:pull&account=jimmy"
    auth = authorizer(LOGIN)
    sent = talk(auth, AuthReply(401, [BEARER]), AuthReply(status), TOKEN)
    assert sent[2:] == [TokenRequest(url, BASIC), Attempt("Bearer abc")]
    assert talk(auth, AuthReply(401, [BEARER]), TOKEN, scopes=PUSH) == [
        Attempt(None),
        TokenRequest(url, BASIC),
        Attempt("Bearer abc"),
    ]


def test_an_identity_token_is_posted_and_nothing_else_is_tried() -> None:
    auth = authorizer(Credentials("", "", "refresh-me"))
    flow_sent = talk(auth, AuthReply(401, [BEARER]), TOKEN)
    assert posted(flow_sent[1]) == {
        "grant_type": "refresh_token",
        "service": "registry.example",
        "client_id": "docker-plugin-mirror",
        "scope": "repository:a/b:pull",
        "refresh_token": "refresh-me",
    }
    with pytest.raises(UpstreamRefused, match="answered 401 to the identity token"):
        talk(authorizer(Credentials("", "", "refresh-me")), AuthReply(401, [BEARER]), AuthReply(401))


def test_an_identity_token_is_no_answer_to_basic() -> None:
    assert talk(authorizer(Credentials("", "", "refresh-me")), AuthReply(401, ['Basic realm="x"'])) == [Attempt(None)]


def test_insufficient_scope_is_answered_once_with_what_the_new_challenge_names() -> None:
    more = 'Bearer realm="https://auth.example/token",scope="repository(plugin):a/b:pull",error="insufficient_scope"'
    wide = AuthReply(200, body=b'{"token": "wide"}')
    auth = authorizer()
    sent = talk(auth, AuthReply(401, [BEARER]), TOKEN, AuthReply(401, [more]), wide, AuthReply(401, [more]))
    wanted = "scope=repository%28plugin%29:a/b:pull&scope=repository:a/b:pull"
    assert sent[2:] == [
        Attempt("Bearer abc"),
        TokenRequest(f"https://auth.example/token?{wanted}", None),
        Attempt("Bearer wide"),
    ]
    assert talk(auth) == [Attempt("Bearer wide")]


def test_a_token_that_does_not_help_is_not_asked_for_again() -> None:
    sent = talk(authorizer(), AuthReply(401, [BEARER]), TOKEN, AuthReply(401, [BEARER]))
    assert [type(step) for step in sent] == [Attempt, TokenRequest, Attempt]


def test_a_token_that_another_request_got_meanwhile_is_used() -> None:
    auth = authorizer()
    first, second = auth.flow(PULL), auth.flow(PULL)
    for flow in (first, second):
        assert next(flow) == Attempt(None)
    assert first.send(AuthReply(401, [BEARER])) == LoginRequired()
    assert isinstance(first.send(None), TokenRequest)
    assert first.send(TOKEN) == Attempt("Bearer abc")
    assert second.send(AuthReply(401, [BEARER])) == Attempt("Bearer abc")


def test_many_scopes_are_not_all_asked_for() -> None:
    many = " ".join(f"repository:a/{number}:pull" for number in range(1000))
    sent = talk(authorizer(), AuthReply(401, [f'Bearer realm="https://auth.example/token",scope="{many}"']), TOKEN)
    assert isinstance(sent[1], TokenRequest)
    assert sent[1].url.count("scope=") == 32


def test_a_busy_token_server_says_when_to_come_back() -> None:
    with pytest.raises(UpstreamBusy) as raised:
        talk(authorizer(), AuthReply(401, [BEARER]), AuthReply(429, retry_after_seconds=7.0))
    assert raised.value.detail["retry_after_seconds"] == "7.0"


def test_bearer_is_preferred_over_basic_wherever_it_stands() -> None:
    sent = talk(authorizer(LOGIN), AuthReply(401, ['Basic realm="x"', BEARER]), TOKEN)
    assert sent[-1] == Attempt("Bearer abc")


def test_own_scopes_are_asked_for_where_the_challenge_names_none() -> None:
    sent = talk(authorizer(), AuthReply(401, ['Bearer realm="https://auth.example/token"']), TOKEN, scopes=PUSH)
    assert sent[1] == TokenRequest("https://auth.example/token?scope=repository:a/b:pull,push", None)


def test_a_challenge_may_ask_for_the_plugin_class() -> None:
    challenge = 'Bearer realm="https://auth.example/t?x=1",scope="repository(plugin):a/b:pull repository:a/b:pull"'
    sent = talk(authorizer(), AuthReply(401, [challenge]), TOKEN)
    wanted = "scope=repository%28plugin%29:a/b:pull&scope=repository:a/b:pull"
    assert sent[1] == TokenRequest(f"https://auth.example/t?x=1&{wanted}", None)


def test_tokens_are_kept_by_scope_until_shortly_before_they_expire() -> None:
    clock = HandClock()
    auth = authorizer(clock=clock)
    talk(auth, AuthReply(401, [BEARER]), TOKEN)
    assert talk(auth) == [Attempt("Bearer abc")]
    assert talk(auth, scopes=PUSH) == [Attempt(None)]
    clock.advance(seconds=289)
    assert talk(auth) == [Attempt("Bearer abc")]
    clock.advance(seconds=1)
    url = "https://auth.example/token?service=registry.example&scope=repository:a/b:pull"
    again = AuthReply(200, body=b'{"token": "def"}')
    assert talk(auth, again) == [TokenRequest(url, None), Attempt("Bearer def")]


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
    talk(auth, AuthReply(401, [BEARER]), AuthReply(200, body=body))
    clock.advance(seconds=seconds - 11)
    assert talk(auth) == [Attempt("Bearer abc")]
    clock.advance(seconds=2)
    assert isinstance(talk(auth, TOKEN)[0], TokenRequest)


def test_a_token_that_is_refused_is_replaced_once() -> None:
    auth = authorizer()
    talk(auth, AuthReply(401, [BEARER]), TOKEN)
    new = AuthReply(200, body=b'{"token": "def"}')
    sent = talk(auth, AuthReply(401, [BEARER]), new, AuthReply(401, [BEARER]))
    assert [step for step in sent if isinstance(step, Attempt)] == [Attempt("Bearer abc"), Attempt("Bearer def")]


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        (AuthReply(401), UpstreamRefused, "answered 401 to user jimmy; fix: check the password"),
        (AuthReply(403), UpstreamRefused, "answered 403"),
        (AuthReply(404), UpstreamRefused, "answered 404"),
        (AuthReply(429), UpstreamBusy, "answered 429"),
        (AuthReply(503), UpstreamBusy, "answered 503"),
        (AuthReply(200, body=b"<html>"), UpstreamProtocolError, "not JSON"),
        (AuthReply(200, body=b"[]"), UpstreamProtocolError, "not a JSON object"),
        (AuthReply(200, body=b"{}"), UpstreamProtocolError, "holds no token"),
        (AuthReply(200, body=b'{"token": 7}'), UpstreamProtocolError, "holds no token"),
        (AuthReply(200, body=b'{"token": "a\\r\\nX-Evil: 1"}'), UpstreamProtocolError, "holds no token"),
    ],
)
def test_a_token_server_that_does_not_help(reply: AuthReply, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as raised:
        talk(authorizer(LOGIN), AuthReply(401, [BEARER]), reply, reply)
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
    with pytest.raises(UpstreamProtocolError, match="which is not a valid URL"):
        talk(authorizer(LOGIN), AuthReply(401, [f'Bearer realm="{realm}"']))


def test_no_credentials_leave_unencrypted_unless_the_upstream_is_meant_to_be_so() -> None:
    challenge = AuthReply(401, ['Bearer realm="http://auth.example/token"'])
    with pytest.raises(UpstreamProtocolError, match="not encrypted"):
        talk(authorizer(LOGIN), challenge)
    assert isinstance(talk(authorizer(LOGIN, plain_http=True), challenge, TOKEN)[1], TokenRequest)


@pytest.mark.parametrize(
    ("refusal", "age_seconds"),
    [(AuthReply(401), 0), (AuthReply(401, ["Negotiate"]), 0), (AuthReply(400), 0), (AuthReply(403), 60)],
    ids=["401", "no usable challenge", "Amazon ECR", "old token"],
)
def test_a_kept_token_refused_without_a_challenge_is_dropped(refusal: AuthReply, age_seconds: int) -> None:
    clock = HandClock()
    auth = authorizer(clock=clock)
    talk(auth, AuthReply(401, [BEARER]), TOKEN)
    clock.advance(seconds=age_seconds)
    new = AuthReply(200, body=b'{"token": "def"}')
    sent = talk(auth, refusal, AuthReply(401, [BEARER]), new)
    assert [step for step in sent if isinstance(step, Attempt)] == [
        Attempt("Bearer abc"),
        Attempt(None),
        Attempt("Bearer def"),
    ]
    assert talk(auth) == [Attempt("Bearer def")]


@pytest.mark.parametrize("refusal", [AuthReply(401), AuthReply(400)])
def test_a_request_without_the_dropped_token_is_sent_once(refusal: AuthReply) -> None:
    auth = authorizer()
    talk(auth, AuthReply(401, [BEARER]), TOKEN)
    assert talk(auth, refusal, refusal) == [Attempt("Bearer abc"), Attempt(None)]
    assert talk(auth) == [Attempt(None)]


@pytest.mark.parametrize("status", [403, 404, 429, 500])
def test_other_answers_to_a_kept_token_are_final(status: int) -> None:
    auth = authorizer(LOGIN)
    talk(auth, AuthReply(401, [BEARER]), TOKEN)
    assert talk(auth, AuthReply(status)) == [Attempt("Bearer abc")]
    assert talk(auth) == [Attempt("Bearer abc")]


def test_a_token_that_was_just_received_is_not_replaced() -> None:
    sent = talk(authorizer(), AuthReply(401, [BEARER]), TOKEN, AuthReply(400))
    assert [type(step) for step in sent] == [Attempt, TokenRequest, Attempt]


def test_a_token_received_meanwhile_replaces_the_dropped_one() -> None:
    auth = authorizer()
    talk(auth, AuthReply(401, [BEARER]), TOKEN)
    slow = auth.flow(PULL)
    assert next(slow) == Attempt("Bearer abc")
    talk(auth, AuthReply(401), AuthReply(401, [BEARER]), AuthReply(200, body=b'{"token": "def"}'))
    assert slow.send(AuthReply(401)) == Attempt("Bearer def")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_is_hidden_from_anonymous_clients_is_requested_with_a_token(status: int) -> None:
    auth = authorizer(LOGIN)
    root = 'Bearer realm="https://auth.example/token",service="registry.example",scope="registry:catalog:*"'
    sent = talk(auth, AuthReply(status), AuthReply(401, [root]), TOKEN)
    assert sent[:2] == [Attempt(None), ChallengeRequest()]
    assert posted(sent[2])["scope"] == "repository:a/b:pull"
    assert sent[3:] == [Attempt("Bearer abc")]
    again = talk(auth, AuthReply(status), TOKEN, AuthReply(404), scopes=PUSH)
    assert [type(step) for step in again] == [Attempt, TokenRequest, Attempt]
    assert talk(auth, AuthReply(404), scopes=PUSH) == [Attempt("Bearer abc")]


def test_what_is_hidden_may_be_requested_with_the_password() -> None:
    auth = authorizer(LOGIN)
    root = AuthReply(401, ['Basic realm="x"'])
    assert talk(auth, AuthReply(404), root) == [Attempt(None), ChallengeRequest(), Attempt(BASIC)]
    assert talk(auth, AuthReply(404)) == [Attempt(BASIC)]


def test_a_registry_without_a_challenge_is_asked_for_it_once_in_a_while() -> None:
    clock = HandClock()
    auth = authorizer(LOGIN, clock)
    missing = AuthReply(404)
    assert talk(auth, missing, AuthReply(200), missing) == [Attempt(None), ChallengeRequest(), Attempt(None)]
    assert talk(auth, missing) == [Attempt(None)]
    clock.advance(seconds=601)
    assert talk(auth, missing, AuthReply(401, [BEARER]), TOKEN)[-1] == Attempt("Bearer abc")


def test_without_a_login_nothing_is_hidden() -> None:
    assert talk(authorizer(), AuthReply(404)) == [Attempt(None)]


A = 'Bearer realm="https://a.example/token",service="x"'
B = 'Bearer realm="https://b.example/token",service="x"'


def url_of(host: str, name: str = "a/b") -> str:
    return f"https://{host}.example/token?service=x&scope=repository:{name}:pull"


@pytest.mark.parametrize("headers", [[A, B], [f"{A}, {B}"]], ids=["two headers", "one header"])
@pytest.mark.parametrize(
    "failure",
    [AuthReply(403), AuthReply(404), AuthReply(500), AuthReply(200, body=b"<html>"), UpstreamUnreachable("gone")],
    ids=["refused", "missing", "failed", "no token", "unreachable"],
)
def test_a_second_token_server_is_asked_if_the_first_fails(
    headers: list[str], failure: AuthReply | UpstreamFault
) -> None:
    sent = talk(authorizer(), AuthReply(401, headers), failure, TOKEN)
    assert sent == [Attempt(None), TokenRequest(url_of("a")), TokenRequest(url_of("b")), Attempt("Bearer abc")]


def test_a_second_token_server_is_asked_if_the_first_token_is_refused_and_then_first() -> None:
    auth = authorizer()
    both = AuthReply(401, [A, B])
    sent = talk(auth, both, TOKEN, both, AuthReply(200, body=b'{"token": "def"}'))
    assert sent[2:] == [Attempt("Bearer abc"), TokenRequest(url_of("b")), Attempt("Bearer def")]
    other = talk(auth, both, TOKEN, scopes=("repository:c/d:pull",))
    assert other[1:] == [TokenRequest(url_of("b", "c/d")), Attempt("Bearer abc")]


def test_a_token_server_with_an_invalid_address_is_left_out() -> None:
    sent = talk(authorizer(), AuthReply(401, ['Bearer realm="/token"', B]), TOKEN)
    assert sent[1:] == [TokenRequest(url_of("b")), Attempt("Bearer abc")]


def test_the_first_failure_is_reported_if_no_token_server_helps() -> None:
    with pytest.raises(UpstreamRefused, match=r"a\.example answered 403"):
        talk(authorizer(), AuthReply(401, [A, B]), AuthReply(403), AuthReply(404))


def test_tokens_are_requested_a_few_times_at_most() -> None:
    servers = [f'Bearer realm="https://{number}.example/token"' for number in range(20)]
    sent = talk(authorizer(), *[AuthReply(401, [", ".join(servers)]), TOKEN] * 20)
    assert [type(step) for step in sent].count(Attempt) == 5
    assert isinstance(sent[-1], Attempt)


def test_a_hidden_answer_is_requested_again_if_the_login_does_not_fit() -> None:
    auth = authorizer(Credentials("", "", "refresh-me"))
    hidden = [AuthReply(404), AuthReply(401, ['Basic realm="x"']), AuthReply(404)]
    assert talk(auth, *hidden) == [Attempt(None), ChallengeRequest(), Attempt(None)]
    assert talk(auth, AuthReply(404)) == [Attempt(None)]


CHALLENGES = st.lists(st.sampled_from([BEARER, A, B, 'Basic realm="x"', "Negotiate", 'Bearer realm="/x"']), max_size=3)
REPLIES = st.builds(
    AuthReply,
    st.sampled_from([200, 400, 401, 403, 404, 429, 500]),
    CHALLENGES,
    st.sampled_from([b'{"token": "abc"}', b'{"token": "def"}', b"{}"]),
)


@given(st.lists(REPLIES, max_size=40), st.sampled_from([None, LOGIN, Credentials("", "", "refresh-me")]))
def test_any_conversation_ends_soon(replies: list[AuthReply], login: Credentials | None) -> None:
    auth = authorizer(login)
    coming = list(replies)
    for _ in range(3):  # the second and third request begin with what the first one left behind
        sent: list[Attempt | TokenRequest | ChallengeRequest] = []
        with suppress(UpstreamFault):
            sent = talk(auth, *coming)
            # The answer to any other step would have taken the place of the answer to the request.
            assert isinstance(sent[-1], Attempt)
        assert len([step for step in sent if isinstance(step, Attempt)]) <= 5
        assert len([step for step in sent if isinstance(step, ChallengeRequest)]) <= 1
        assert len(sent) <= 30
        coming = coming[len(sent) :]


def test_secrets_are_not_shown() -> None:
    sent = talk(authorizer(LOGIN), AuthReply(401, [BEARER]), AuthReply(404), TOKEN)
    assert "refresh-me" not in repr(Credentials("", "", "refresh-me"))
    assert "s3cret" not in repr([LOGIN, *sent, TOKEN])
    assert "abc" not in repr([*sent, TOKEN])
    assert BASIC not in repr(sent)
