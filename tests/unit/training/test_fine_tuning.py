"""Fine-tuning: what is refused before training, and the advice when it diverges."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_runs import task_record
from test_arguments import chosen

from refit.errors import ParamsError, TrainingDivergedError
from refit.model.batching import Examples
from refit.training import fine_tuning


@pytest.mark.parametrize(
    ("labels", "step", "advice"),
    [
        (np.float32([-2, 1e32]), 0, "the labels range from -2 to 1e+32; scale them, for example to 0 to 1"),
        (np.float32([-2, 1e32]), 5, "lower lr in params.yaml, or use precision: fp32"),
        (np.int64([0, 1]), 0, "lower lr in params.yaml, or use precision: fp32"),
    ],
)
def test_labels_are_blamed_for_a_first_step_that_diverges(labels: Any, step: int, advice: str) -> None:
    """Prevents a search for a learning rate that cannot help: a warmup's first step has lr 0."""

    def diverge(**options: Any) -> None:
        raise TrainingDivergedError("the loss is inf")

    fitting: Any = SimpleNamespace(
        train=diverge, state=SimpleNamespace(global_step=step), train_dataset=Examples(SimpleNamespace(label=labels))
    )
    checkpoints: Any = SimpleNamespace(resumed_from=None, run=SimpleNamespace(last_good=lambda: "no checkpoint"))
    with pytest.raises(TrainingDivergedError) as raised:
        fine_tuning._run_loop(fitting, checkpoints)
    assert str(raised.value) == f"the loss is inf; no checkpoint; {advice}"


def test_a_polynomial_schedule_needs_a_learning_rate_above_its_end() -> None:
    """Prevents a traceback out of transformers for two values that are allowed one by one."""
    with pytest.raises(ParamsError, match="lr: got 1e-07, but scheduler: polynomial ends at 1e-07; need a higher lr"):
        fine_tuning._check(chosen(scheduler="polynomial", lr=1e-7), task_record(), {})
