"""Htpasswd files: the users that are read, and the lines that are refused."""

from __future__ import annotations

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.access import htpasswd
from mirror.access.htpasswd import HtpasswdEntry
from mirror.access.passwords import matches
from mirror.oci.errors import ConfigurationFault
from mirror.records.users import is_user_name

#: A hash that libxcrypt made, not the library that checks passwords.
FROM_CRYPT = "$2y$05$abcdefghijklmnopqrstuu.19DIVigd/UIj5OG6zL4aPK2qKUSTaW"
PASSWORD = "the pass:word"
NAMES = st.from_regex(r"[a-z0-9][a-z0-9._@-]{0,63}", fullmatch=True)


def read(text: str) -> list[HtpasswdEntry]:
    return htpasswd.parse(text, "F")


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationFault) as raised:
        read(text)
    return str(raised.value).splitlines()


@pytest.mark.parametrize("variant", ["2a", "2b", "2y"])
def test_users_may_log_in_with_their_passwords(variant: str) -> None:
    (entry,) = read(f"anna:{FROM_CRYPT.replace('2y', variant)}\n")
    assert entry.name == "anna"
    assert matches(PASSWORD, entry.password_hash)
    assert not matches(PASSWORD[1:], entry.password_hash)


def test_comments_empty_lines_and_the_line_ends_of_windows_are_skipped() -> None:
    entries = read(f"# users\r\n\r\nanna:{FROM_CRYPT}\r\n  \n\tben:{FROM_CRYPT}")
    assert [(entry.name, entry.password_hash) for entry in entries] == [("anna", FROM_CRYPT), ("ben", FROM_CRYPT)]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("anna", "the line is not NAME:HASH"),
        (f"Anna:{FROM_CRYPT}", "'Anna' is not a user's name"),
        (f":{FROM_CRYPT}", "'' is not a user's name"),
        ("anna:", "neither a bcrypt hash nor any other known one"),
        (
            "anna:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/",
            "the hash of anna is an MD5 hash; fix: make a bcrypt hash with ",
        ),
        ("anna:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=", "a SHA-1 hash"),
        ("anna:$5$abc$def", "a SHA-256 hash of crypt"),
        ("anna:$6$abc$def", "a SHA-512 hash of crypt"),
        ("anna:rqXexS6ZhobKA", "neither a bcrypt hash nor any other known one"),
        ("anna:a password", "neither a bcrypt hash nor any other known one"),
        (f"anna:{FROM_CRYPT.replace('2y', '2x')}", "the defective variant 2x"),
        (f"anna:{FROM_CRYPT[:-1]}", "not a whole bcrypt hash"),
        (f"anna:{FROM_CRYPT}:", "not a whole bcrypt hash"),
        (f"anna:{FROM_CRYPT[:-1]}X", "not a whole bcrypt hash"),  # a last character that no hash has
        (f"anna:{FROM_CRYPT.replace('$05$', '$15$')}", "has the cost 15; fix: make one with a cost of 4 to 14"),
        (f"anna:{FROM_CRYPT.replace('$05$', '$31$')}", "has the cost 31"),
        (f"anna:{FROM_CRYPT.replace('$05$', '$03$')}", "has the cost 3"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_with_its_number_and_without_its_hash(line: str, problem: str) -> None:
    (told,) = problems(f"ben:{FROM_CRYPT}\n{line}\n")
    assert told.startswith("F:2: ")
    assert problem in told
    assert "19DIV" not in told
    assert "a password" not in told


def test_a_user_is_named_once() -> None:
    (told,) = problems(f"anna:{FROM_CRYPT}\nben:{FROM_CRYPT}\nanna:{FROM_CRYPT}")
    assert told == "F:3: there is a line for anna already; fix: remove one of the two"


def test_a_file_without_users_is_refused() -> None:
    assert problems("# nobody\n") == ["F: the file names no user; fix: give a file made by htpasswd -B"]


def test_the_first_twenty_mistakes_are_named() -> None:
    told = problems("x\n" * 30)
    assert (len(told), told[19].partition(": ")[0], told[20]) == (21, "F:20", "F: 10 more lines cannot be used")


@settings(max_examples=20)
@given(st.binary(max_size=20), st.sampled_from([b"2a", b"2b"]))
def test_every_hash_of_bcrypt_is_read(password: bytes, variant: bytes) -> None:
    made = bcrypt.hashpw(password, bcrypt.gensalt(4, variant)).decode()
    assert read(f"anna:{made}")[0].password_hash == made


@given(st.lists(NAMES, unique=True, min_size=1))
def test_what_was_written_is_read(names: list[str]) -> None:
    assert [entry.name for entry in read("".join(f"{name}:{FROM_CRYPT}\n" for name in names))] == names


@given(st.text() | st.lists(st.sampled_from(["a", ":", "$2y$", "\n", "#", FROM_CRYPT, "\0"])).map("".join))
def test_any_text_is_users_or_a_clear_refusal(text: str) -> None:
    try:
        entries = read(text)
    except ConfigurationFault as error:
        assert all(line.startswith("F") for line in str(error).splitlines())
    else:
        assert entries
        assert all(is_user_name(entry.name) and len(entry.password_hash) == 60 for entry in entries)
