"""Time of the training steps of this process, without evaluation, checkpoints and logging."""

import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class StepClock(TrainerCallback):  # type: ignore[misc]
    """Counts the training steps of this process and their seconds; steps before a resume do not count."""

    def __init__(self) -> None:
        self.steps = 0
        self.seconds = 0.0
        self.started = 0.0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stop the clock."""
        self.steps += 1
        self.seconds += time.perf_counter() - self.started
