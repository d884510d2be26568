"""Progress of the training for people: a bar on a terminal, and a line for each evaluation."""

import sys
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from refit.experiments import evaluations
from refit.training import curves

BAR = "{desc} |{bar:8}| step {n_fmt}/{total_fmt}, {remaining} left{postfix}"


class Progress(TrainerCallback):  # type: ignore[misc]
    """Shows step, time left, epoch, loss, the last validation score, rows per second and learning rate."""

    def __init__(self, score: str) -> None:
        self.score = score
        self.loss: float | None = None
        self.bar: tqdm[Any] | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the progress bar at the current (possibly resumed) step."""
        if state.is_world_process_zero:
            self.bar = tqdm(
                total=state.max_steps, initial=state.global_step, desc="train", bar_format=BAR, dynamic_ncols=True,
                disable=None,
            )  # fmt: skip

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Advance the bar."""
        if self.bar is not None:
            self.bar.update(1)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Show the newest learning rate and the mean loss since the last evaluation, as in metrics/history.csv."""
        newest = state.log_history[-1]
        if "loss" in newest:
            self.loss = curves.train_loss(state.log_history)
            if self.bar is not None:
                self.bar.set_postfix_str(self.figures(args, state, newest["learning_rate"]))

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Print a line for this evaluation, which stays on the screen and in a log file."""
        if state.is_world_process_zero:
            tqdm.write(self.line(state), file=sys.stderr)
            scores = list(curves.scores(state.log_history, self.score).values())
            evaluations.append(len(scores), scores[-1])

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()

    def line(self, state: TrainerState) -> str:
        """The last evaluation in one line, marked if it is the best so far."""
        measured = state.log_history[-1]
        is_best = curves.best_step(state.log_history, self.score) == state.global_step
        loss = "" if self.loss is None else f"loss {self.loss:.4f}  "
        return (
            f"epoch {state.epoch:.3g} of {state.num_train_epochs:g}  step {state.global_step}  {loss}"
            f"validation loss {measured['eval_loss']:.4f}  {self.score} {measured[f'eval_{self.score}']:.4f}"
            f"{'  best so far' if is_best else ''}"
        )

    def figures(self, args: TrainingArguments, state: TrainerState, rate: float) -> str:
        """The text after the bar: the most useful first, because a narrow terminal cuts the end off."""
        scores = list(curves.scores(state.log_history, self.score).values())
        steps_per_second = self.bar.format_dict["rate"] if self.bar is not None else None
        rows = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        best_first = [
            f"epoch {state.epoch:.2f} of {state.num_train_epochs:g}, loss {self.loss:.3f}",
            *(f"{self.score} {value:.3f}" for value in scores[-1:]),
            f"{(steps_per_second or 0) * rows:.0f} rows/s, lr {rate:.1e}",
        ]
        return ", ".join(best_first)
