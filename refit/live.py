"""What a person sees while the model trains: one bar on a terminal, one line for each evaluation everywhere."""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

EVALUATIONS = "REFIT_EVALUATIONS"  # names a file for whoever started the run to follow it by


class Live(TrainerCallback):  # type: ignore[misc]
    """Shows epoch, step, loss, learning rate, rows a second, the time left and the last validation score."""

    def __init__(self, score: str) -> None:
        self.score = score
        self.loss = float("nan")
        self.bar: tqdm[Any] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the bar at the step that the run starts from."""
        if state.is_world_process_zero:
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="train", unit="step", disable=None)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar on."""
        if self.bar is not None:
            self.bar.update(1)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the newest loss and learning rate."""
        if self.bar is None or not logs or "loss" not in logs:
            return
        self.loss = logs["loss"]
        rate = self.bar.format_dict.get("rate") or 0.0
        rows = rate * args.train_batch_size * args.gradient_accumulation_steps
        self.bar.set_postfix_str(
            f"epoch {state.epoch:.2f} loss {self.loss:.3f} lr {logs['learning_rate']:.1e} {rows:.0f} rows/s"
        )

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the line of this evaluation; it stays on the screen and in a log file."""
        if not state.is_world_process_zero or metrics is None:
            return
        scores = [entry[f"eval_{self.score}"] for entry in state.log_history if f"eval_{self.score}" in entry]
        best = "  best so far" if scores and scores.index(max(scores)) == len(scores) - 1 else ""
        line = (
            f"epoch {state.epoch:g} of {state.num_train_epochs:g}  step {state.global_step}  loss {self.loss:.4f}  "
            f"validation loss {metrics['eval_loss']:.4f}  {self.score} {metrics[f'eval_{self.score}']:.4f}{best}"
        )
        tqdm.write(line, file=sys.stderr)
        if path := os.environ.get(EVALUATIONS):
            entry = {"step": state.global_step, "epoch": state.epoch, "score": scores[-1], "process": os.getpid()}
            with Path(path).open("a") as file:
                file.write(json.dumps(entry) + "\n")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()


def read_evaluations(path: Path) -> list[dict[str, Any]]:
    """The evaluations that a run has noted so far: step, epoch, score and the number of its process."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def stop(evaluation: dict[str, Any]) -> None:
    """Ask the run that noted an evaluation to save its state and end."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(evaluation["process"], signal.SIGTERM)
