"""Untrusted text must be displayed and must do nothing, in HTML, terminals, Markdown and CSV."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refit.escaping import code, cut, markdown, one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b\x1b[31m\x7f\x9b\u202ereversed\u202c", "a␀b␛[31m␡�[U+202E]reversed[U+202C]"),
        ("\u200fعربي\u200e\r\nzwei\tdrei", "\u200fعربي\u200e\nzwei\tdrei"),
    ],
)
def test_control_characters_become_visible_and_direction_marks_stay(text: str, shown: str) -> None:
    """Prevents one text from looking like another, and Arabic from losing the marks that it needs."""
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("one two three four", 15, ("one two three…", 5)),
        ("short", 15, ("short", 0)),
        ("电" * 50, 10, ("电" * 10 + "…", 40)),
    ],
)
def test_a_long_text_is_cut_at_a_space_and_the_rest_is_counted(text: str, most: int, shown: tuple[str, int]) -> None:
    """Prevents a cut in the middle of a word, a cut that the reader does not notice, and no cut in Chinese."""
    assert cut(text, most) == shown


@given(st.text(max_size=300))
def test_no_character_that_controls_a_terminal_is_left(text: str) -> None:
    """Prevents a label from clearing the screen or reversing the text after it."""
    line = one_line(text)
    assert len(line) <= 200
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in line)
    assert not any(character in line for character in "\u202e\u2066\u200b\u200e\ufeff")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("good\x1b[2J\x1b]0;title\x07\n film", "good\ufffd[2J\ufffd]0;title\ufffd film"),
        *((text, text) for text in ("很好的电影 · फ़िल्म", "می\u200cخواهم · שלום", "👍")),
    ],
)
def test_escape_codes_are_displayed_and_other_scripts_stay(text: str, shown: str) -> None:
    """Prevents hidden escape codes, and Persian words that lose their joiners."""
    assert one_line(text) == shown


@pytest.mark.parametrize(
    "text",
    ["a|b", "<script>alert(1)</script>", "[x](http://example.com)", "![x](y)", "`code`", "**bold**", "@user", "#1",
     "http://example.com", "www.example.com", "_a_ b", "~~x~~", "\\|", "&lt;", "$x$", "https://x.y"],
)  # fmt: skip
def test_markdown_reads_no_markup_into_a_text(text: str) -> None:
    """Prevents a label from becoming a link, a mention or a column in a pull request's comment."""
    shown = markdown(text)
    without_entities = re.sub(r"&#\d+;", "", shown)
    assert not re.search(r"[|<>\[\]`*@#~\\&$:!]|(?<![a-z0-9])_", without_entities)
    assert "www." not in shown
    assert re.sub(r"&#(\d+);", lambda entity: chr(int(entity[1])), shown) == text  # it is displayed unchanged


def test_a_score_name_stays_readable_and_code_cannot_be_closed_from_within() -> None:
    """Prevents entities in every model card, and a label with </code> from continuing as HTML."""
    assert markdown("macro_f1") == "macro_f1"
    assert code("</code><b>") == "<code>&#60;/code&#62;&#60;b&#62;</code>"
