"""The features of the baseline: what counts as a word, and how pairs of texts are compared."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refit.baseline.features import Features, count


def counted(folder: Path, *texts: str, pairs: tuple[str, ...] = (), longest: int = 2) -> Features | np.ndarray:
    """The features of these texts, learned from themselves."""
    columns = {"text": list(texts)} | ({"text_pair": list(pairs)} if pairs else {})
    pq.write_table(pa.table(columns), folder / "train.parquet")
    counts = count(folder / "train.parquet", np.arange(len(texts)), longest=longest)
    return Features(counts).of(counts).toarray()


def test_words_and_pairs_of_adjacent_words_are_features(tmp_path: Path) -> None:
    """Prevents a model of words alone, and features that depend on the case or on punctuation."""
    both = counted(tmp_path, "Good film.", "good, film", "bad film")
    assert both.shape == (3, 3)  # good, film, good film; what occurs once is left out
    assert np.array_equal(both[0], both[1])
    assert counted(tmp_path, "good film", "good film", longest=1).shape == (2, 2)


@pytest.mark.parametrize("texts", [("花呗借钱", "借钱花呗"), ("ดีมาก", "มากดี")])
def test_in_scripts_without_spaces_characters_are_words(texts: tuple[str, str], tmp_path: Path) -> None:
    """Prevents sentences of Chinese from being one word each, which no other text contains."""
    first, second = counted(tmp_path, *texts)
    assert (np.minimum(first, second) > 0).sum() >= 4


def test_the_features_of_a_pair_say_what_its_texts_share(tmp_path: Path) -> None:
    """Prevents a model that cannot tell two equal texts from two that share nothing."""
    rows = counted(tmp_path, "a red cat", "a red cat", "one dog", pairs=("a red cat", "one dog", "a red cat"))
    assert rows[:, -2:].tolist() == [[1, pytest.approx(1)], [0, 0], [0, 0]]  # Jaccard similarity, cosine


def test_rows_are_counted_in_the_order_given(tmp_path: Path) -> None:
    """Prevents features of other rows than the labels are of."""
    pq.write_table(pa.table({"text": ["a", "a b", "a b c"]}), tmp_path / "test.parquet")
    (column,) = count(tmp_path / "test.parquet", np.array([2, 0]), longest=1)
    assert column.sum(axis=1).ravel().tolist() == [[3, 1]]
