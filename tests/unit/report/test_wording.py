"""How the page writes labels, texts and numbers."""

import pytest

from refit.report import build, wording


def test_labels_and_texts_are_escaped_and_keep_their_direction_and_say_what_is_cut_off() -> None:
    """Prevents a label that runs in the browser, Arabic from left to right, and a cut text that looks complete."""
    assert wording.label("<i>") == "<bdi>&lt;i&gt;</bdi>"
    assert wording.excerpt("<i>") == '<p class="text" dir="auto">&lt;i&gt;</p>'
    assert "(empty)" in wording.excerpt("  ")
    assert "(+9,680 characters)" in wording.excerpt("x" * 10_000)


@pytest.mark.parametrize(("count", "shown"), [(0, "0"), (1, "1 (under 0.1%)"), (1_250, "1,250 (12.5%)")])
def test_a_count_has_its_fraction(count: int, shown: str) -> None:
    """Prevents 0.0% for something that was found."""
    assert wording.number_of(count, 10_000) == shown


def test_settings_are_read_back_by_a_shell_and_dvc() -> None:
    """Prevents a missing quote or a bool in Python's spelling, with which the run cannot be repeated."""
    given = {"model": "my model", "stratify": False, "lr": 2e-5, "trainer": {"optim": "adafactor"}}
    assert build.settings(given) == ["'model=my model'", "stratify=false", "lr=2e-05", "'trainer={optim: adafactor}'"]
