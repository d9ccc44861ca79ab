import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mirror.oci import Digest, Reference, Repository, Tag
from mirror.oci.errors import DigestInvalid, MirrorError, NameInvalid
from mirror.oci.names import MAX_REPOSITORY_LENGTH, parse_reference

components = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)
repositories = st.lists(components, min_size=1, max_size=4).map("/".join)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True)
hosts = st.sampled_from(["localhost", "localhost:5000", "mirror.example", "mirror:5000", "10.0.0.1:5000", "[::1]:5000"])
digests = st.binary(max_size=8).map(Digest.of)


@given(repositories)
def test_a_repository_name_is_kept(text):
    assert str(Repository.parse(text)) == text


@given(tags)
def test_a_tag_is_kept(text):
    assert str(Tag.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "A", "a//b", "/a", "a/", "../../etc", "a/../b", "a..b", "a___b", "-a", "a-", "a b", "a:b", "a@b", "a\n", "ä"],
)
def test_what_is_no_repository(text):
    with pytest.raises(NameInvalid):
        Repository.parse(text)


def test_the_longest_repository_name():
    assert Repository.parse("a" * MAX_REPOSITORY_LENGTH)
    with pytest.raises(NameInvalid, match="256 characters"):
        Repository.parse("a" * (MAX_REPOSITORY_LENGTH + 1))


@pytest.mark.parametrize("text", ["", ".a", "-a", "a b", "a/b", "a:b", "a" * 129, "a\n", "ä"])
def test_what_is_no_tag(text):
    with pytest.raises(NameInvalid):
        Tag.parse(text)


def test_a_tag_of_128_characters():
    assert Tag.parse("a" * 128).name == "a" * 128


@given(st.text())
def test_parsers_raise_only_errors_of_the_tree(text):
    for parse in (Repository.parse, Tag.parse, Reference.parse, parse_reference):
        try:
            parse(text)
        except MirrorError as error:
            assert isinstance(error, NameInvalid | DigestInvalid)


@given(st.none() | hosts, repositories, st.none() | tags, st.none() | digests)
def test_a_reference_is_kept(host, repository, tag, digest):
    first, slash, _ = repository.partition("/")
    assume(host or not slash or ("." not in first and first != "localhost"))
    text = (f"{host}/" if host else "") + repository + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    reference = Reference.parse(text)
    assert (reference.host, str(reference.repository), reference.digest) == (host, repository, digest)
    assert reference.target == (digest or Tag(tag or "latest"))
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "host", "repository", "target"),
    [
        ("contiv/v2plugin", None, "contiv/v2plugin", "latest"),
        ("contiv/v2plugin:1.0", None, "contiv/v2plugin", "1.0"),
        ("mirror:5000/contiv/v2plugin:1.0", "mirror:5000", "contiv/v2plugin", "1.0"),
        ("localhost/a", "localhost", "a", "latest"),
        ("docker.io/vieux/sshfs", "docker.io", "vieux/sshfs", "latest"),
    ],
)
def test_references_as_people_write_them(text, host, repository, target):
    reference = Reference.parse(text)
    assert (reference.host, str(reference.repository), str(reference.target)) == (host, repository, target)


@pytest.mark.parametrize("text", ["mirror:port/a", "a:b:c", "a@sha256:00", "a@", "http://a/b", "-:5000/a", "a..b:1/c"])
def test_what_is_no_reference(text):
    with pytest.raises((NameInvalid, DigestInvalid)):
        Reference.parse(text)


def test_what_stands_behind_manifests():
    digest = Digest.of(b"")
    assert parse_reference(str(digest)) == digest
    assert parse_reference("1.0") == Tag("1.0")
