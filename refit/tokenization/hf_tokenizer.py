"""The model's own tokenizer, run by the `tokenizers` library."""

from itertools import chain

import numpy as np
from tokenizers import Tokenizer

from refit.errors import DataError
from refit.tokenization.token_batch import Encoded, offsets


class Reference:
    """Encodes every tokenizer that no fast engine supports, and is what the fast engines are compared with.

    `is_complete`: single texts are encoded without truncation and without special tokens, to be cut by long_texts.
    """

    name = "tokenizers"

    def __init__(self, tokenizer_json: bytes, max_length: int, *, is_complete: bool = False) -> None:
        self.max_length = max_length
        self.is_complete = is_complete
        self.tokenizer = Tokenizer.from_buffer(tokenizer_json)
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        if any(self.tokenizer.encode("a").type_ids):
            raise DataError(
                "models/base: its tokenizer gives a single text other token types than 0, which refit cannot store"
            )
        if not is_complete:
            self.tokenizer.enable_truncation(max_length)

    def encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        """Encode texts, or pairs, which are truncated longest text first, as `truncation=True` does.

        Raises DataError for token types that refit cannot store.
        """
        inputs = texts if pairs is None else list(zip(texts, pairs, strict=True))
        encodings = self.tokenizer.encode_batch_fast(inputs, add_special_tokens=not self.is_complete)
        lengths = [len(encoding) for encoding in encodings]
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int32, sum(lengths))
        first = None
        if pairs is not None:
            first = np.fromiter((_first_length(encoding.type_ids) for encoding in encodings), np.int32, len(encodings))
        return Encoded(ids, offsets(lengths), first)


def _first_length(type_ids: list[int]) -> int:
    first = type_ids.count(0)
    if any(type_ids[:first]) or not all(kind == 1 for kind in type_ids[first:]):
        raise DataError("models/base: its tokenizer numbers the texts of a pair in a way that refit cannot store")
    return first
