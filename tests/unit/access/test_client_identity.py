"""Names of clients with certificates, and patterns of such names."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mirror.access.certificates.client_identity import CertificateNameKind, ClientIdentity, IdentityPattern
from mirror.access.rights import AccessAction
from mirror.access.rules import AccessRule, UserRights
from mirror.filters.authorize import AnonymousRights
from mirror.oci import Repository
from mirror.oci.errors import NameInvalid
from mirror.oci.name_mapping import NameMapping
from mirror.records.users import is_user_name

CN, DNS, URI, EMAIL, SHA256 = CertificateNameKind
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="*"), min_size=1, max_size=20)
PATTERNS = st.text(st.sampled_from("ab-.*"), min_size=1, max_size=12)


def names(kind: CertificateNameKind, value: str) -> tuple[str, ...]:
    return ClientIdentity.of([(kind, value)]).names


@pytest.mark.parametrize(
    ("kind", "value", "name"),
    [
        (CN, "host-12", "cert:CN=host-12"),
        (CN, "Build Server, Room 3", "cert:CN=Build Server, Room 3"),
        (DNS, "Host-12.Example", "cert:DNS=host-12.example"),
        (URI, "spiffe://site/Host?x=1", "cert:URI=spiffe://site/Host?x=1"),
        (EMAIL, "Anna@Example.ORG", "cert:EMAIL=Anna@example.org"),
        (SHA256, "AB", "cert:SHA256=ab"),
        (CN, "x" * 240, f"cert:CN={'x' * 240}"),
        # Text that looks like another name is a part of the value, and means nothing.
        (CN, "cert:CN=root", "cert:CN=cert:CN=root"),
        (CN, "a,DNS=b", "cert:CN=a,DNS=b"),
        (CN, "anna", "cert:CN=anna"),
    ],
)
def test_a_name(kind: CertificateNameKind, value: str, name: str) -> None:
    assert names(kind, value) == (name,)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " host",
        "host ",
        "host\0.evil",
        "host\n",
        "\x1b[31mhost",
        "h\u043est",  # a Cyrillic letter that looks like an o
        "\uff48ost",
        "M\xfcller",
        "host\u202e",
        "*",
        "*.example",
        "x" * 241,
    ],
)
@pytest.mark.parametrize("kind", list(CertificateNameKind))
def test_text_that_is_no_name(kind: CertificateNameKind, value: str) -> None:
    assert names(kind, value) == ()


@given(st.sampled_from(list(CertificateNameKind)), st.text(max_size=300))
def test_every_name_is_one_printable_line_that_no_user_has(kind: CertificateNameKind, value: str) -> None:
    for name in names(kind, value):
        assert name.isascii()
        assert name.isprintable()
        assert len(name) < 255
        assert "*" not in name
        assert not is_user_name(name)


@given(st.sampled_from(list(CertificateNameKind)), VALUES)
def test_a_name_is_the_pattern_of_itself_and_of_no_other_kind(kind: CertificateNameKind, value: str) -> None:
    identity = ClientIdentity.of([(kind, value)])
    assume(identity.names)
    assert IdentityPattern.parse(identity.name).matches(identity)
    for other in set(CertificateNameKind) - {kind}:
        assert not IdentityPattern.parse(f"cert:{other}=*").matches(identity)


@given(PATTERNS, st.text(st.sampled_from("ab-."), min_size=1, max_size=12))
def test_an_asterisk_matches_any_characters(pattern: str, value: str) -> None:
    matches = IdentityPattern.parse(f"cert:CN={pattern}").matches(ClientIdentity.of([(CN, value)]))
    assert matches is fnmatch.fnmatchcase(value, pattern)


@given(st.text(max_size=60) | st.builds("cert:{}={}".format, st.sampled_from(["CN", "OU", ""]), st.text(max_size=20)))
def test_a_text_is_a_pattern_or_is_refused_in_one_line(text: str) -> None:
    try:
        pattern = IdentityPattern.parse(text)
    except NameInvalid as error:
        assert "fix: " in error.message
        assert error.message.isprintable()
    else:
        assert pattern.text.startswith("cert:")
        assert IdentityPattern.parse(pattern.text) == pattern


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cert:", "names no client certificate"),
        ("cert:host", "names no client certificate"),
        ("cert", "names no client certificate"),
        ("CN=host", "names no client certificate"),
        ("cert:*=host", "'\\*' names nothing in a certificate; fix: use CN, DNS, URI, EMAIL, SHA256"),
        ("cert:OU=ops", "'OU' names nothing in a certificate"),
        ("cert:cn=host", "'cn' names nothing in a certificate"),
        ("cert:CN=", "the name is empty"),
        ("cert:CN= host", "blanks at an end"),
        ("cert:CN=M\xfcller", "characters outside ASCII"),
        ("cert:CN=" + "x" * 241, "more than 240 characters"),
    ],
)
def test_a_pattern_that_is_refused(text: str, why: str) -> None:
    with pytest.raises(NameInvalid, match=why):
        IdentityPattern.parse(text)


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("cert:*", True),
        ("cert:CN=host-12", True),
        ("cert:CN=host-*", True),
        ("cert:CN=Host-*", False),
        ("cert:CN=host-1", False),
        ("cert:DNS=*.PROD.example", True),
        ("cert:DNS=host-12.prod.example.org", False),
        ("cert:DNS=host.12.prod.example", False),
        ("cert:EMAIL=*", False),
        ("cert:URI=spiffe://site/*", True),
    ],
)
def test_a_client_is_known_by_each_of_its_names(pattern: str, matches: bool) -> None:
    identity = ClientIdentity.of([(CN, "host-12"), (DNS, "host-12.prod.example"), (URI, "spiffe://site/host")])
    assert IdentityPattern.parse(pattern).matches(identity) is matches


@pytest.mark.parametrize("pattern", ["cert:EMAIL=Anna*", "cert:EMAIL=Anna.B@SITE.example", "cert:EMAIL=*@Site.Example"])
def test_the_name_before_the_at_sign_keeps_its_case(pattern: str) -> None:
    identity = ClientIdentity.of([(CertificateNameKind.EMAIL, "Anna.B@Site.EXAMPLE")])
    assert IdentityPattern.parse(pattern).matches(identity)


def rule(users: str, *patterns: str) -> AccessRule:
    return AccessRule(
        frozenset(users.split()),
        (NameMapping("acme/**", "acme/**"),),
        frozenset({AccessAction.PULL}),
        tuple(map(IdentityPattern.parse, patterns)),
    )


@pytest.mark.parametrize(
    ("rules", "client", "user"),
    [
        (rule("anna"), False, True),
        (rule("", "cert:CN=anna"), True, False),
        (rule("", "cert:*"), True, False),
        (rule("*"), True, True),
        (rule("bob", "cert:CN=bob"), False, False),
    ],
)
def test_a_client_named_like_a_user_is_not_that_user(rules: AccessRule, client: bool, user: bool) -> None:
    nobody, name = AnonymousRights(frozenset()), Repository("acme/driver")
    by_certificate = UserRights.of_client(ClientIdentity.of([(CN, "anna")]), [rules], nobody)
    assert by_certificate.allows(AccessAction.PULL, name) is client
    assert UserRights.of("anna", [rules], nobody).allows(AccessAction.PULL, name) is user
