import unicodedata
from ast import literal_eval

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.printable_text import escaped, printable, printable_ascii, quoted

#: Any character, half of a surrogate pair included.
TEXTS = st.text(st.characters())
MOST = st.integers(0, 50)
#: Control and format characters (those that turn the direction among them), surrogates, ends of lines and paragraphs.
UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def is_safe(text: str) -> bool:
    return not any(unicodedata.category(sign) in UNSAFE for sign in text)


@given(TEXTS, MOST)
def test_nothing_that_a_terminal_obeys_comes_out(text: str, most: int) -> None:
    for shown in (printable(text), printable(text, most), escaped(text, most)):
        assert is_safe(shown)
    for shown in (printable_ascii(text, most), quoted(text, most)):
        assert is_safe(shown)
        assert shown.isascii()


@given(TEXTS, MOST)
def test_what_comes_out_is_bounded(text: str, most: int) -> None:
    assert len(printable(text)) == len(text)
    assert len(printable(text, most)) <= most + 1
    assert len(printable_ascii(text, most)) <= most + 3
    assert len(escaped(text, most)) <= 10 * most + 1
    assert len(quoted(text, most)) <= 10 * most + 5


@given(TEXTS)
def test_in_quotes_nothing_is_lost(text: str) -> None:
    assert literal_eval(quoted(text, len(text))) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("plain", ("plain", "plain", "plain", "'plain'")),
        ("grün", ("grün", "gr?n", "grün", r"'gr\xfcn'")),
        ("a\x1b[1m\u202e", ("a?[1m?", "a?[1m?", r"a\x1b[1m\u202e", r"'a\x1b[1m\u202e'")),
        ("\ud800", ("?", "?", r"\ud800", r"'\ud800'")),
        ("123456789", ("12345678…", "12345678...", "12345678…", "'12345678...'")),
    ],
)
def test_how_text_is_told(text: str, told: tuple[str, ...]) -> None:
    assert (printable(text, 8), printable_ascii(text, 8), escaped(text, 8), quoted(text, 8)) == told
