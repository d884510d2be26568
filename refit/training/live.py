"""What a person sees while the model trains: a bar on a terminal, a line for each evaluation, and trackers' logs."""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments, integrations

from refit import paths
from refit.errors import ParamsError
from refit.training import curves

BAR = "{desc} |{bar:8}| step {n_fmt}/{total_fmt}, {remaining} left{postfix}"

EVALUATIONS = "REFIT_EVALUATIONS"  # names a file for whoever started the run to follow it by


class Live(TrainerCallback):  # type: ignore[misc]
    """Shows step, time left, epoch, loss, learning rate, rows a second and the last validation score."""

    def __init__(self, score: str) -> None:
        self.score = score
        self.logged: dict[str, float] = {}
        self.last_score: float | None = None
        self.bar: tqdm[Any] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the bar at the step that the run starts from."""
        self.last_score = next(iter(reversed(self._scores(state))), None)
        if state.is_world_process_zero:
            self.bar = tqdm(
                total=state.max_steps, initial=state.global_step, desc="train", bar_format=BAR, dynamic_ncols=True,
                disable=None,
            )  # fmt: skip

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
        """Write the line of this evaluation; it stays on the screen and in a log file."""
        if not state.is_world_process_zero or metrics is None:
            return
        self.last_score = metrics[f"eval_{self.score}"]
        tqdm.write(self.line(state, metrics), file=sys.stderr)
        self._show(args, state)
        if path := os.environ.get(EVALUATIONS):
            # Counted by the state, which a run that goes on after a kill has kept: the file has been begun anew.
            number = len(self._scores(state))
            entry = {"number": number, "score": self.last_score, "process": os.getpid()}
            with Path(path).open("a") as file:
                file.write(json.dumps(entry) + "\n")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()

    def line(self, state: TrainerState, metrics: dict[str, float]) -> str:
        """An evaluation in one line, with a word if it is the best so far."""
        scores = self._scores(state)
        best = "  best so far" if scores and scores.index(max(scores)) == len(scores) - 1 else ""
        loss = f"loss {self.logged['loss']:.4f}  " if self.logged else ""
        return (
            f"epoch {state.epoch:.3g} of {state.num_train_epochs:g}  step {state.global_step}  {loss}"
            f"validation loss {metrics['eval_loss']:.4f}  {self.score} {metrics[f'eval_{self.score}']:.4f}{best}"
        )

    def figures(self, state: TrainerState, rows_per_second: float | None) -> str:
        """What stands after the bar: the most useful first, because a narrow terminal cuts the end off."""
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


class DvcLiveLogs(integrations.DVCLiveCallback):  # type: ignore[misc]
    """DVCLive's own callback, with the training step as its step instead of a count of log entries."""

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write this entry; the files on disk are up to date when it returns."""
        if self.live is not None:
            self.live.step = state.global_step
        super().on_log(args, state, control, **kwargs)


class WandbLogs(integrations.WandbCallback):  # type: ignore[misc]
    """Wandb's callback as the Trainer has it; who is not logged in, or cannot reach the server, is told so."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the run. Raises ParamsError."""
        try:
            super().on_train_begin(args, state, control, **kwargs)
        except self._wandb.Error as error:
            raise ParamsError(
                f"params.yaml report_to: wandb: {error} Or, to keep the logs on this machine: export WANDB_MODE=offline"
            ) from None


def reporters(report_to: str, home: Path | None = None) -> list[TrainerCallback]:
    """The tracker that was asked for, with logs in .refit/, outside of every out: one folder a run.

    Raises ParamsError where its package is not installed.
    """
    if report_to != "none" and not getattr(integrations, f"is_{report_to}_available")():
        raise ParamsError(
            f"params.yaml report_to: {report_to} is not installed; run: .venv/bin/pip install {report_to}"
        )
    home = home or paths.state_folder()
    moment = time.strftime("%Y-%m-%d_%H-%M-%S")
    run = "-".join(filter(None, [moment, os.environ.get("DVC_EXP_NAME"), str(os.getpid())]))
    if report_to == "tensorboard":
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(home / "tensorboard" / run)
        return [integrations.TensorBoardCallback()]
    if report_to == "dvclive":
        from dvclive import Live as DvcLive

        # DVC makes the experiment and dvc.yaml names the plots: DVCLive is to do neither.
        live = DvcLive(dir=str(home / "dvclive" / run), dvcyaml=None, save_dvc_exp=False, report=None)
        return [DvcLiveLogs(live=live)]
    if report_to == "wandb":
        for name, value in (("WANDB_DIR", home), ("WANDB_PROJECT", "refit"), ("WANDB_NAME", run)):
            os.environ.setdefault(name, str(value))
        return [WandbLogs()]
    return []


def read_evaluations(path: Path) -> list[dict[str, Any]]:
    """The evaluations that a run has noted so far: which one it is, its score and the number of the process."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def stop(evaluation: dict[str, Any]) -> None:
    """Ask the run that noted an evaluation to save its state and end."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(evaluation["process"], signal.SIGTERM)
