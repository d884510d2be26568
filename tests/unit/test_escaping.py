"""Texts that are made fit to be shown."""

from refit import escaping


def test_characters_that_hide_or_reorder_text_become_visible() -> None:
    """Otherwise a row could pose as another, or end a file in the middle for whatever reads it."""
    shown = escaping.visible("a\x00b\x1b[31m\x7f\x9b\u202ereversed\u202c")
    assert shown == "a␀b␛[31m␡�[U+202E]reversed[U+202C]"


def test_right_to_left_marks_and_line_breaks_stay() -> None:
    """Arabic and Hebrew need the marks, and a review its lines."""
    assert escaping.visible("\u200fعربي\u200e\r\nzwei\tdrei") == "\u200fعربي\u200e\nzwei\tdrei"


def test_a_long_text_is_cut_at_a_word_and_says_how_much_is_left_out() -> None:
    """A cut in mid-word, or one that nobody is told of, misleads who reads the row."""
    shown, left_out = escaping.cut("one two three four", 15)
    assert (shown, left_out) == ("one two three…", 5)
    assert escaping.cut("short", 15) == ("short", 0)


def test_a_text_without_spaces_is_cut_where_the_room_ends() -> None:
    """Chinese has no spaces to cut at; without this rule such a text would be shown whole."""
    assert escaping.cut("电" * 50, 10) == ("电" * 10 + "…", 40)
