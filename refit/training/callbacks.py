"""Progress of the training for people: a bar on a terminal, and a line for each evaluation."""

import sys
import time
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from refit.experiments import evaluations
from refit.training import curves

BAR = "{desc} |{bar:8}| step {n_fmt}/{total_fmt}, {remaining} left{postfix}"


class Progress(TrainerCallback):  # type: ignore[misc]
    """Shows step, time left, epoch, loss, learning rate, rows a second and the last validation score."""

    def __init__(self, score: str) -> None:
        self.score = score
        self.logged: dict[str, float] = {}
        self.last_score: float | None = None
        self.bar: tqdm[Any] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the progress bar at the current (possibly resumed) step."""
        self.last_score = next(iter(reversed(self._scores(state))), None)
        if state.is_world_process_zero:
            self.bar = tqdm(
                total=state.max_steps, initial=state.global_step, desc="train", bar_format=BAR, dynamic_ncols=True,
                disable=None,
            )  # fmt: skip

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Advance the bar."""
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
        """Show the newest learning rate and the mean loss since the last evaluation, as in metrics/history.csv."""
        if logs and "loss" in logs:
            self.logged = {**logs, "loss": curves.train_loss(state.log_history)}
            self._show(args, state)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Print a line for this evaluation, which stays on the screen and in a log file."""
        if not state.is_world_process_zero or metrics is None:
            return
        self.last_score = metrics[f"eval_{self.score}"]
        tqdm.write(self.line(state, metrics), file=sys.stderr)
        self._show(args, state)
        evaluations.append(len(self._scores(state)), self.last_score)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()

    def line(self, state: TrainerState, metrics: dict[str, float]) -> str:
        """An evaluation in one line, marked if it is the best so far."""
        scores = self._scores(state)
        best = "  best so far" if scores and scores.index(max(scores)) == len(scores) - 1 else ""
        loss = f"loss {self.logged['loss']:.4f}  " if self.logged else ""
        return (
            f"epoch {state.epoch:.3g} of {state.num_train_epochs:g}  step {state.global_step}  {loss}"
            f"validation loss {metrics['eval_loss']:.4f}  {self.score} {metrics[f'eval_{self.score}']:.4f}{best}"
        )

    def figures(self, state: TrainerState, rows_per_second: float | None) -> str:
        """The text after the bar: the most useful first, because a narrow terminal cuts the end off."""
        parts = [f"epoch {state.epoch or 0:.2f} of {state.num_train_epochs:g}"]
        if self.logged:
            parts.append(f"loss {self.logged['loss']:.3f}")
        if self.last_score is not None:
            parts.append(f"{self.score} {self.last_score:.3f}")
        if rows_per_second:
            parts.append(f"{rows_per_second:.0f} rows/s")
        if self.logged:
            parts.append(f"lr {self.logged['learning_rate']:.1e}")
        return ", ".join(parts)

    def _show(self, args: TrainingArguments, state: TrainerState) -> None:
        if self.bar is not None:
            rate = self.bar.format_dict.get("rate")
            rows = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
            self.bar.set_postfix_str(self.figures(state, rate * rows if rate else None))

    def _scores(self, state: TrainerState) -> list[float]:
        return [entry[f"eval_{self.score}"] for entry in state.log_history if f"eval_{self.score}" in entry]


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
