"""Train a linear model on the sampled examples, as a baseline: data/sampled → metrics/baseline.json."""

from typing import Any

from refit.stage import run


def baseline() -> dict[str, Any]:
    """Write metrics/baseline.json and the baseline's predictions in metrics/baseline."""
    from refit.baseline import baseline

    return baseline.write()


if __name__ == "__main__":
    run("baseline", baseline)
