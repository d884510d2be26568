"""Choose the fastest engine that gives the ids of the model's own tokenizer.

nanotoken encodes WordPiece tokenizers (BERT, DistilBERT, MiniLM, ELECTRA), gigatoken byte-level BPE (RoBERTa,
ModernBERT) and SentencePiece BPE with byte fallback. `tokenizers` encodes every other one, and is the reference that
the ids of the fast engines are compared with on a sample of every run.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tokenizers import models

from refit.errors import ParamsError
from refit.params import LongTexts
from refit.storage import files
from refit.tokenization import special_tokens
from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.token_batch import Encoded

Encode = Callable[[list[str]], Encoded]


class Engine(Protocol):
    """A Reference, or a fast engine in its place."""

    name: str

    def encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        """Encode texts, or pairs, with special tokens, truncated to max_length; with `is_complete`, neither."""


class FastEngine:
    """An engine that encodes single texts, with the special tokens and the max_length of the reference."""

    def __init__(self, name: str, bare: Encode, truncated: Encode | None, reference: Reference) -> None:
        """`bare` encodes complete texts without special tokens, `truncated` as the reference, if the engine can."""
        self.name, self.bare, self.truncated, self.reference = name, bare, truncated, reference
        self.pair = special_tokens.around_pair(reference.tokenizer)
        self.around = special_tokens.around_text(reference.tokenizer)

    def encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        """As Reference.encode."""
        max_length = self.reference.max_length
        if pairs is not None:
            return self.pair.join(self.bare(texts), self.bare(pairs), max_length)
        if self.reference.is_complete:
            return self.bare(texts)
        if self.truncated:
            return self.truncated(texts)
        complete = self.bare(texts)
        count = np.minimum(complete.lengths, max_length - sum(map(len, self.around)))
        return special_tokens.frame(complete, complete.offsets[:-1], count, *self.around)


def load(model: Path, max_length: int, long_texts: LongTexts = "head") -> tuple[Engine, Reference]:
    """The engine to encode with, and the reference to check it against, for a model's tokenizer.

    Unless `long_texts` is head, both give complete texts, for `long_texts.Cutter`. Raises ParamsError when `max_length`
    is more than the model can take, DataError for token types that refit cannot store.
    """
    limit = length_limit(model)
    if limit is not None and max_length > limit:
        raise ParamsError(
            f"params.yaml max_length: got {max_length}, need at most {limit}, the limit of the model in {model}"
        )
    tokenizer_json = (model / "tokenizer.json").read_bytes()
    reference = Reference(tokenizer_json, max_length, is_complete=long_texts != "head")
    return fastest(tokenizer_json, reference), reference


def fastest(tokenizer_json: bytes, reference: Reference) -> Engine:
    """The engine for the tokenizer's kind, if it supports all of its settings; only that one is imported."""
    try:
        match reference.tokenizer.model:
            case models.WordPiece():
                return _nanotoken(tokenizer_json, reference)
            case models.BPE():
                return _gigatoken(tokenizer_json, reference)
    except (ValueError, RuntimeError):  # raised by nanotoken and gigatoken for settings that they lack
        pass
    return reference


def _nanotoken(tokenizer_json: bytes, reference: Reference) -> FastEngine:
    import nanotoken

    engine = nanotoken.WordPieceTokenizer.from_json(tokenizer_json)

    def encode(texts: list[str], **options: Any) -> Encoded:
        ids, offsets = engine.encode_batch(texts, **options)
        return Encoded(ids.view(np.int32), offsets, None)

    bare, truncated = partial(encode, add_special_tokens=False), partial(encode, max_length=reference.max_length)
    return FastEngine("nanotoken", bare, truncated, reference)


def _gigatoken(tokenizer_json: bytes, reference: Reference) -> FastEngine:
    import gigatoken

    engine = gigatoken.Tokenizer.from_json(tokenizer_json)

    def bare(texts: list[str]) -> Encoded:
        lists = engine.encode_batch(texts).layout  # of awkward: all ids are in one buffer, as in Encoded
        return Encoded(lists.content.data.view(np.int32), lists.offsets.data, None)

    return FastEngine("gigatoken", bare, None, reference)


def length_limit(model: Path) -> int | None:
    """The most tokens that a model takes, by its tokenizer's settings and the size of its position table."""
    stated = files.read_json(model / "tokenizer_config.json").get("model_max_length")
    positions = files.read_json(model / "config.json").get("max_position_embeddings")
    known = [limit for limit in (stated, positions) if isinstance(limit, int) and limit < 10**9]
    return min(known) if known else None
