"""Tests of comparing/plain.py: what others wrote must be shown, and must do nothing."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refit.compare.plain import code, markdown, one_line


@given(st.text(max_size=300))
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    line = one_line(text)
    assert len(line) <= 200
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in line)
    assert not any(character in line for character in "\u202e\u2066\u200b\u200e\ufeff")


def test_an_escape_code_is_seen_as_text() -> None:
    assert one_line("good\x1b[2J\x1b]0;title\x07\n film") == "good\ufffd[2J\ufffd]0;title\ufffd film"


def test_writing_of_other_scripts_stays_as_it_is() -> None:
    text = "很好的电影 · फ़िल्म · می\u200cخواهم · שלום · 👍"
    assert one_line(text) == text


@pytest.mark.parametrize(
    "text",
    ["a|b", "<script>alert(1)</script>", "[x](http://example.com)", "![x](y)", "`code`", "**bold**", "@user", "#1",
     "http://example.com", "www.example.com", "a_b_c", "~~x~~", "\\|", "&lt;", "$x$", "https://x.y"],
)  # fmt: skip
def test_markdown_reads_no_markup_into_a_text(text: str) -> None:
    shown = markdown(text)
    without_entities = re.sub(r"&#\d+;", "", shown)
    assert not re.search(r"[|<>\[\]`*_@#~\\&$:!]", without_entities)
    assert "www." not in shown
    assert re.sub(r"&#(\d+);", lambda entity: chr(int(entity[1])), shown) == text  # it is seen as it was


def test_code_cannot_be_left() -> None:
    assert code("</code><b>") == "<code>&#60;/code&#62;&#60;b&#62;</code>"
