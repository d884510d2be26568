"""Choose the fastest engine that gives the ids of the model's own tokenizer.

nanotoken encodes WordPiece tokenizers and gigatoken BPE ones. `tokenizers` encodes every other one, and is the
reference that the ids of the fast engines are compared with on a sample of every run.
"""

from pathlib import Path
from typing import Protocol

from tokenizers import models

from refit.errors import ParamsError
from refit.params import LongTexts
from refit.storage import files
from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.token_batch import Encoded


class Engine(Protocol):
    """A Reference, or a fast engine in its place."""

    name: str

    def encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        """Encode texts, or pairs, with special tokens, truncated to max_length; with `is_complete`, neither."""


def load(model: Path, max_length: int, long_texts: LongTexts = "head") -> tuple[Engine, Reference]:
    """The engine to encode with, and the reference to check it against, for a model's tokenizer.

    Unless `long_texts` is head, both give complete texts, for `long_texts.Cutter`. Raises ParamsError when `max_length`
    is more than the model can take.
    """
    limit = length_limit(model)
    if limit is not None and max_length > limit:
        raise ParamsError(
            f"params.yaml max_length: got {max_length}, need at most {limit}, the limit of the model in {model}"
        )
    tokenizer_json = (model / "tokenizer.json").read_bytes()
    reference = Reference(tokenizer_json, max_length)
    if long_texts != "head":
        reference.encode(["a"], None)  # raises DataError for token types that refit cannot store
        reference = Reference(tokenizer_json, max_length, is_complete=True)
    return _fastest(tokenizer_json, reference), reference


def _fastest(tokenizer_json: bytes, reference: Reference) -> Engine:
    """The engine for the tokenizer's kind, if it supports all of its settings; only that one is imported."""
    try:
        match reference.tokenizer.model:
            case models.WordPiece():
                from refit.tokenization.wordpiece import WordPiece

                return WordPiece(tokenizer_json, reference)
            case models.BPE():
                from refit.tokenization.byte_pair import BytePair

                return BytePair(tokenizer_json, reference)
    except (ValueError, RuntimeError):  # raised by nanotoken and gigatoken for settings that they lack
        pass
    return reference


def length_limit(model: Path) -> int | None:
    """The most tokens that a model takes, by its tokenizer's settings and the size of its position table."""
    stated = files.read_json(model / "tokenizer_config.json").get("model_max_length")
    positions = files.read_json(model / "config.json").get("max_position_embeddings")
    known = [limit for limit in (stated, positions) if isinstance(limit, int) and limit < 10**9]
    return min(known) if known else None
