"""Fine-tune the encoder with the Hugging Face Trainer: data/sampled + models/base → models/finetuned."""

import os
from typing import Any

from refit.stage import heavy_imports, run
from refit.training import distributed


def train() -> dict[str, Any]:
    """Write models/finetuned, the best epoch's model, and the curves metrics/history.csv and steps.csv."""
    from refit import params

    chosen = params.load(params.Train)
    launches = distributed.must_launch(chosen.processes)
    distributed.check(chosen, launches=launches)
    if launches:
        return distributed.launch(chosen.processes, "stages.train")
    with heavy_imports():
        from refit.training import fine_tuning

    figures = fine_tuning.train(chosen)
    distributed.leave(figures)
    return figures


if __name__ == "__main__":
    # Of several nodes, which share one folder, the first one alone writes the timing record.
    run("train", train, record=distributed.count() == 1 and os.environ.get("PET_NODE_RANK", "0") == "0")
