"""TF-IDF features of texts and pairs of texts: words and pairs of adjacent words, with sublinear counts.

Words are hashed instead of collected in a vocabulary: 7 times as fast, and the memory does not grow with the number of
different words. In scripts without spaces (Chinese), each character counts as a word.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from refit.data import parquet
from refit.data.words import WORD, overlaps
from refit.stage import bar

BUCKETS = 2**21  # of the hash: two words rarely share one
RAREST = 2  # training texts that a feature has to occur in
CHUNK = 10_000  # texts in memory

Matrix = sparse.csr_array
Indices = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Counts:
    """How often each hashed word or pair of words occurs in each text.

    `columns` has one matrix (rows, BUCKETS), and for pairs of texts a second one; `overlap` (rows) is then the
    fraction of words that the texts share, otherwise None.
    """

    columns: list[Matrix]
    overlap: npt.NDArray[np.float64] | None


def count(path: Path, rows: Indices, *, longest: int) -> Counts:
    """Count the words, and with `longest` = 2 pairs of adjacent words, of the given rows of a file in data/raw."""
    words = HashingVectorizer(
        token_pattern=WORD, ngram_range=(1, longest), n_features=BUCKETS, norm=None, alternate_sign=False,
        dtype=np.float32,
    )  # fmt: skip
    parts: list[list[Matrix]] = []
    shared: list[npt.NDArray[np.float64]] = []
    for texts in _chunks(path, rows):
        columns = list(zip(*texts, strict=True))
        parts.append([words.transform(column) for column in columns])
        if len(columns) == 2:
            shared.append(overlaps(texts))
    return Counts(
        columns=[sparse.vstack(column, format="csr") for column in zip(*parts, strict=True)],
        overlap=np.concatenate(shared) if shared else None,
    )


class Features:
    """TF-IDF weights learned from training texts; what occurs in fewer than two of them is left out."""

    def __init__(self, train: Counts) -> None:
        rows = sum(column.shape[0] for column in train.columns)
        occurs = sum(np.bincount(column.indices, minlength=BUCKETS) for column in train.columns)
        self.used = np.flatnonzero(occurs >= min(RAREST, rows))
        self.tfidf = TfidfTransformer(sublinear_tf=True)
        self.tfidf.fit(sparse.vstack([column[:, self.used] for column in train.columns]))

    def of(self, counts: Counts) -> Matrix:
        """The features (rows, features).

        Of a pair: those of both texts, what both have, what only one has, and two measures of their overlap.
        """
        parts: list[Matrix] = [self.tfidf.transform(column[:, self.used], copy=False) for column in counts.columns]
        if counts.overlap is None:
            return parts[0]
        first, second = parts
        common = first.multiply(second).tocsr()
        cosine = np.asarray(common.sum(axis=1)).ravel()
        measures = sparse.csr_array(np.stack([counts.overlap, cosine], axis=1), dtype=np.float32)
        return sparse.csr_array(sparse.hstack([first, second, common, abs(first - second), measures]))


def _chunks(path: Path, rows: Indices) -> Iterator[list[tuple[str, ...]]]:
    with bar(total=len(rows), desc=f"count words of {path.stem}") as progress:
        for start in range(0, len(rows), CHUNK):
            texts = parquet.take(path, rows[start : start + CHUNK])
            yield texts
            progress.update(len(texts))
