"""TF-IDF features of texts and pairs of texts: words and pairs of adjacent words, with sublinear counts.

Words are hashed instead of collected in a vocabulary: 7 times as fast, and the memory does not grow with the number of
different words. In scripts without spaces (Chinese), each character counts as a word.
"""

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


def count(path: Path, rows: Indices, *, longest: int) -> list[Matrix]:
    """Count the words, and with `longest` = 2 pairs of adjacent words, of the given rows of a file in data/raw.

    One matrix (rows, BUCKETS); for pairs of texts two, and the fraction of words (rows, 1) that the texts share.
    """
    words = HashingVectorizer(
        token_pattern=WORD, ngram_range=(1, longest), n_features=BUCKETS, norm=None, alternate_sign=False,
        dtype=np.float32,
    )  # fmt: skip
    parts: list[list[Matrix]] = []
    with bar(total=len(rows), desc=f"count words of {path.stem}") as progress:
        for start in range(0, len(rows), CHUNK):
            texts = parquet.take(path, rows[start : start + CHUNK])
            parts.append([words.transform(column) for column in zip(*texts, strict=True)])
            if len(texts[0]) == 2:
                parts[-1].append(sparse.csr_array(overlaps(texts).reshape(-1, 1), dtype=np.float32))
            progress.update(len(texts))
    return [sparse.vstack(column, format="csr") for column in zip(*parts, strict=True)]


class Features:
    """TF-IDF weights learned from training texts; what occurs in fewer than two of them is left out."""

    def __init__(self, train: list[Matrix]) -> None:
        columns = train[:2]
        rows = sum(column.shape[0] for column in columns)
        occurs = sum(np.bincount(column.indices, minlength=BUCKETS) for column in columns)
        self.used = np.flatnonzero(occurs >= min(RAREST, rows))
        self.tfidf = TfidfTransformer(sublinear_tf=True)
        self.tfidf.fit(sparse.vstack([column[:, self.used] for column in columns]))

    def of(self, counts: list[Matrix]) -> Matrix:
        """The features (rows, features).

        Of a pair: those of both texts, what both have, what only one has, and two measures of their overlap.
        """
        parts: list[Matrix] = [self.tfidf.transform(column[:, self.used], copy=False) for column in counts[:2]]
        if len(parts) == 1:
            return parts[0]
        first, second = parts
        common = first.multiply(second).tocsr()
        cosine = sparse.csr_array(np.asarray(common.sum(axis=1)).reshape(-1, 1), dtype=np.float32)
        return sparse.csr_array(sparse.hstack([first, second, common, abs(first - second), counts[2], cosine]))
