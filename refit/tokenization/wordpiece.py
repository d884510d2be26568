"""WordPiece tokenizers (BERT, DistilBERT, MiniLM, ELECTRA), encoded by nanotoken straight into numpy buffers."""

import nanotoken
import numpy as np

from refit.tokenization import special_tokens, starts
from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.token_batch import Encoded


class WordPiece:
    """nanotoken with a tokenizer's own settings. Raises nanotoken.UnsupportedTokenizerError if it cannot have them."""

    name = "nanotoken"

    def __init__(self, tokenizer_json: bytes, reference: Reference) -> None:
        self.engine = nanotoken.WordPieceTokenizer.from_json(tokenizer_json)
        self.max_length = reference.max_length
        self.pair = special_tokens.around_pair(reference.tokenizer)
        self.reads_starts = starts.is_exact(reference.tokenizer)

    def encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        """As Reference.encode."""
        if pairs is not None:
            return self.pair.join(self._bare(texts), self._bare(pairs), self.max_length)
        return self._by_starts(texts) if self.reads_starts else self._whole(texts)

    def _by_starts(self, texts: list[str]) -> Encoded:
        """Read of a long text only as much as most often fills max_length, and the whole of it where it did not."""
        cut = starts.of_long(texts, self.max_length)
        encoded = self._whole([cut.get(row, text) for row, text in enumerate(texts)])
        lengths = encoded.lengths
        too_short = [row for row in cut if lengths[row] < self.max_length]
        return encoded.with_rows(too_short, self._whole([texts[row] for row in too_short])) if too_short else encoded

    def _whole(self, texts: list[str]) -> Encoded:
        ids, offsets = self.engine.encode_batch(texts, max_length=self.max_length)
        return Encoded(ids.view(np.int32), offsets, None)

    def _bare(self, texts: list[str]) -> Encoded:
        ids, offsets = self.engine.encode_batch(texts, add_special_tokens=False)
        return Encoded(ids.view(np.int32), offsets, None)
