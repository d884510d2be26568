"""Choose the examples that a run uses: data/tokenized → data/sampled."""

from typing import Any

from refit import paths
from refit.stage import run


def sample() -> dict[str, Any]:
    """Write data/sampled/{split}.arrow, and manifest.json with row counts and hashes."""
    from refit import params
    from refit.data import sampling

    return sampling.write(params.load(params.Sample), paths.TOKENIZED, paths.SAMPLED)


if __name__ == "__main__":
    run("sample", sample)
