"""Encode the texts as token ids: data/raw → data/tokenized."""

from typing import Any

from refit import paths
from refit.stage import run


def tokenize() -> dict[str, Any]:
    """Write data/tokenized/{split}.arrow, and manifest.json with row and token counts and hashes."""
    from refit import params
    from refit.tokenization import tokenization

    chosen = params.load(params.Tokenize)
    return tokenization.write(paths.RAW, paths.BASE_MODEL, chosen.max_length, paths.TOKENIZED, chosen.long_texts)


if __name__ == "__main__":
    run("tokenize", tokenize)
