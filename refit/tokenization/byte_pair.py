"""gigatoken encodes byte-level BPE tokenizers (RoBERTa, ModernBERT) and SentencePiece BPE with byte fallback."""

import gigatoken
import numpy as np

from refit.tokenization import special_tokens
from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.token_batch import Encoded


class BytePair:
    """gigatoken with a tokenizer's settings. Raises RuntimeError if it lacks one of them."""

    name = "gigatoken"

    def __init__(self, tokenizer_json: bytes, reference: Reference) -> None:
        self.engine = gigatoken.Tokenizer.from_json(tokenizer_json)
        self.max_length = reference.max_length
        self.is_complete = reference.is_complete
        self.pair = special_tokens.around_pair(reference.tokenizer)
        self.around = special_tokens.around_text(reference.tokenizer)

    def encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        """As Reference.encode."""
        bare = self._bare(texts)
        if pairs is not None:
            return self.pair.join(bare, self._bare(pairs), self.max_length)
        if self.is_complete:
            return bare
        count = np.minimum(bare.lengths, self.max_length - sum(map(len, self.around)))
        return special_tokens.frame(bare, bare.offsets[:-1], count, *self.around)

    def _bare(self, texts: list[str]) -> Encoded:
        lists = self.engine.encode_batch(texts).layout  # of awkward: its ids are in one buffer, as those of Encoded
        return Encoded(lists.content.data.view(np.int32), lists.offsets.data, None)
