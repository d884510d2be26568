"""Fine-tune the encoder with the Hugging Face Trainer: data/sampled + models/base → models/finetuned."""

from typing import Any

from refit.runtime import run


def train() -> dict[str, Any]:
    """Write models/finetuned, the best epoch's model, and the curves metrics/history.csv and steps.csv."""
    from refit import params

    chosen = params.load(params.Train)
    from refit import training

    return training.train(chosen)


if __name__ == "__main__":
    run("train", train)
