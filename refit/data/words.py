"""Words of a text, for what counts them without a tokenizer: the baseline's features and the overlap of a pair."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# The scripts that put no space between words: Thai to Khmer, kana, Chinese characters.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+"  # a word, or one character of those scripts


def overlaps(pairs: Sequence[tuple[str, ...]]) -> npt.NDArray[np.float64]:
    """The Jaccard similarity of the sets of words of each pair of texts, 0 to 1, ignoring case."""
    words = ([set(re.findall(WORD, text.casefold())) for text in pair] for pair in pairs)
    return np.array([len(a & b) / len(a | b) if a or b else 1.0 for a, b in words])
