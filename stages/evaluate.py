"""Score the fine-tuned model on validation, and on test where it has labels: models/finetuned → metrics/."""

from typing import Any

from refit.stage import heavy_imports, run


def evaluate() -> dict[str, Any]:
    """Write scores.json, details.json, predictions.parquet and the CSV files that DVC plots, in metrics/."""
    from refit import params

    chosen = params.load(params.Evaluate)
    with heavy_imports():
        from refit.evaluation import evaluate

    return evaluate.evaluate(chosen)


if __name__ == "__main__":
    run("evaluate", evaluate)
