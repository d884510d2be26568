"""gigatoken encodes byte-level BPE tokenizers (RoBERTa, ModernBERT) and SentencePiece BPE with byte fallback."""

from itertools import chain

import gigatoken
import numpy as np
import numpy.typing as npt

from refit.tokenization import special_tokens
from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.token_batch import Encoded, offsets

MATRIX_IDS = 1 << 22  # in a padded batch: 16 MB, 8,192 rows of 512
LISTED_TEXTS = 1024  # in one list of Python's numbers, which take nine times as much memory as the ids


class BytePair:
    """gigatoken with a tokenizer's settings. Raises RuntimeError if it lacks one of them."""

    name = "gigatoken"

    def __init__(self, tokenizer_json: bytes, reference: Reference) -> None:
        self.engine = gigatoken.Tokenizer.from_json(tokenizer_json)
        self.max_length = reference.max_length
        self.is_complete = reference.is_complete
        self.pair = special_tokens.around_pair(reference.tokenizer)
        self.before, self.after = special_tokens.around_text(reference.tokenizer)

    def encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        """As Reference.encode."""
        if pairs is not None:
            return self.pair.join(self._bare(texts), self._bare(pairs), self.max_length)
        if self.is_complete:
            return self._bare(texts)
        rows = max(1, MATRIX_IDS // self.max_length)
        parts = [self._padded(texts[start : start + rows]) for start in range(0, len(texts), rows)]
        ids = np.concatenate([np.empty(0, np.uint32), *(ids for ids, _ in parts)])
        return Encoded(ids.view(np.int32), offsets(np.concatenate([[], *(lengths for _, lengths in parts)])), None)

    def _padded(self, texts: list[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """The ids and lengths of texts. gigatoken truncates only when it pads, so the padding is removed here."""
        matrix, lengths = self.engine.encode_batch_padded(
            texts, pad_id=0, max_length=self.max_length, truncate=True, prefix=self.before, suffix=self.after
        )
        return matrix[np.arange(matrix.shape[1]) < lengths[:, None]], lengths

    def _bare(self, texts: list[str]) -> Encoded:
        lengths: list[int] = []
        parts = [np.empty(0, np.int32)]
        for start in range(0, len(texts), LISTED_TEXTS):
            rows = self.engine.encode_batch_list(texts[start : start + LISTED_TEXTS])
            lengths += map(len, rows)
            parts.append(np.fromiter(chain.from_iterable(rows), np.int32))
        return Encoded(np.concatenate(parts), offsets(lengths), None)
