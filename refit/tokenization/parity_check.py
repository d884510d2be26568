"""Compare an engine's ids with those of the model's own tokenizer on a sample of the texts."""

import numpy as np

from refit.tokenization.engines import Engine
from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.token_batch import Encoded


class EnginesDifferError(Exception):
    """The fast engine gave other ids than the model's own tokenizer."""


def encode(engine: Engine, reference: Reference, stride: int, texts: list[str], pairs: list[str] | None) -> Encoded:
    """As the engine's encode; raises EnginesDifferError where its ids differ from the tokenizer's own.

    Compares every `stride`-th row and unusual ones: the longest and the shortest text, and the first that is not ASCII.
    """
    encoded = engine.encode(texts, pairs)
    if engine is not reference:
        rows = set(range(0, len(texts), stride))
        for column in [texts] if pairs is None else [texts, pairs]:
            lengths, are_ascii = list(map(len, column)), list(map(str.isascii, column))
            rows |= {int(np.argmax(lengths)), int(np.argmin(lengths)), int(np.argmin(are_ascii))}
        sampled_pairs = None if pairs is None else [pairs[row] for row in rows]
        own = reference.encode([texts[row] for row in rows], sampled_pairs)
        if not own.equals(encoded.take(list(rows))):
            raise EnginesDifferError
    return encoded
