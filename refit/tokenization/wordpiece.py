"""nanotoken encodes WordPiece tokenizers (BERT, DistilBERT, MiniLM, ELECTRA), directly into numpy buffers."""

import nanotoken
import numpy as np

from refit.tokenization import special_tokens
from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.token_batch import Encoded


class WordPiece:
    """nanotoken with a tokenizer's settings. Raises UnsupportedTokenizerError if it lacks one of them."""

    name = "nanotoken"

    def __init__(self, tokenizer_json: bytes, reference: Reference) -> None:
        self.engine = nanotoken.WordPieceTokenizer.from_json(tokenizer_json)
        self.max_length = reference.max_length
        self.is_complete = reference.is_complete
        self.pair = special_tokens.around_pair(reference.tokenizer)

    def encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        """As Reference.encode."""
        if pairs is not None:
            return self.pair.join(self._bare(texts), self._bare(pairs), self.max_length)
        if self.is_complete:
            return self._bare(texts)
        ids, offsets = self.engine.encode_batch(texts, max_length=self.max_length)
        return Encoded(ids.view(np.int32), offsets, None)

    def _bare(self, texts: list[str]) -> Encoded:
        ids, offsets = self.engine.encode_batch(texts, add_special_tokens=False)
        return Encoded(ids.view(np.int32), offsets, None)
