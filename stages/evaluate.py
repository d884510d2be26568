"""Score the fine-tuned model on validation, and on test where it has labels: models/finetuned → metrics/."""

from typing import Any

from refit.fast_import import importing
from refit.stage import run


def evaluate() -> dict[str, Any]:
    """Write scores.json, details.json, predictions.parquet and the CSV files that DVC plots, in metrics/."""
    from refit import params

    chosen = params.load(params.Evaluate)
    with importing():
        from refit.evaluation import evaluate

    return evaluate.evaluate(chosen)


if __name__ == "__main__":
    run("evaluate", evaluate)
