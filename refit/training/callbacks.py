"""Progress of the training for people: a bar on a terminal, and a line for each evaluation."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from refit import paths
from refit.training import curves

BAR = "{desc} |{bar:8}| step {n_fmt}/{total_fmt}, {remaining} left{postfix}"


class Progress(TrainerCallback):  # type: ignore[misc]
    """Shows step, time left, epoch, loss, the last validation score, rows per second and learning rate."""

    bar: "tqdm[Any]"

    def __init__(self, score: str) -> None:
        self.score = score
        self.loss: float | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the progress bar at the current (possibly resumed) step."""
        self.bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc="train", bar_format=BAR, dynamic_ncols=True,
            disable=None if state.is_world_process_zero else True,
        )  # fmt: skip

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Advance the bar."""
        self.bar.update(1)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Show the newest learning rate and the mean loss since the last evaluation, as in metrics/history.csv."""
        newest = state.log_history[-1]
        if "loss" in newest:
            self.loss = curves.train_loss(state.log_history)
            scores = list(curves.scores(state.log_history, self.score).values())
            score = f", {self.score} {scores[-1]:.3f}" if scores else ""
            rows = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
            speed = f"{(self.bar.format_dict['rate'] or 0) * rows:.0f} rows/s, lr {newest['learning_rate']:.1e}"
            # The most useful first, because a narrow terminal cuts the end off.
            epoch = f"epoch {state.epoch:.2f} of {state.num_train_epochs:g}"
            self.bar.set_postfix_str(f"{epoch}, loss {self.loss:.3f}{score}, {speed}")

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Print a line for this evaluation, and append its number and score to the file of a search."""
        if state.is_world_process_zero:
            measured = state.log_history[-1]
            is_best = curves.best_step(state.log_history, self.score) == state.global_step
            loss = "" if self.loss is None else f"loss {self.loss:.4f}  "
            line = (
                f"epoch {state.epoch:.3g} of {state.num_train_epochs:g}  step {state.global_step}  {loss}"
                f"validation loss {measured['eval_loss']:.4f}  {self.score} {measured[f'eval_{self.score}']:.4f}"
                f"{'  best so far' if is_best else ''}"
            )
            tqdm.write(line, file=sys.stderr)
            if path := os.environ.get(paths.EVALUATIONS):
                scores = list(curves.scores(state.log_history, self.score).values())
                with Path(path).open("a") as file:
                    file.write(json.dumps({"number": len(scores), "score": scores[-1]}) + "\n")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close the bar."""
        self.bar.close()
