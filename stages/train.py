"""Fine-tune the encoder with the Hugging Face Trainer: data/sampled + models/base → models/finetuned."""

from typing import Any

from refit.imports import importing
from refit.runtime import run
from refit.training import processes


def train() -> dict[str, Any]:
    """Write models/finetuned, the best epoch's model, and the curves metrics/history.csv and steps.csv."""
    from refit import params
    from refit.training import sharding

    chosen = params.load(params.Train)
    launches = processes.must_launch(chosen.processes)
    processes.check(chosen, launches=launches)
    sharding.check(chosen, is_alone=not launches and processes.count() == 1)
    if launches:
        return processes.launch(chosen.processes, "stages.train")
    with importing():
        from refit.training import fine_tuning

    figures = fine_tuning.train(chosen)
    processes.leave(figures)
    return figures


if __name__ == "__main__":
    run("train", train, record=processes.count() == 1 and processes.is_first_node())
