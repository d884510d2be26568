"""Experiment trackers: TensorBoard, DVCLive and Weights & Biases, through the Trainer's own callbacks."""

import os
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments, integrations

from refit import paths
from refit.errors import ParamsError


class DvcLiveLogs(integrations.DVCLiveCallback):  # type: ignore[misc]
    """DVCLive's own callback, with the training step as its step instead of a count of log entries."""

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write this entry; the files on disk are up to date when it returns."""
        self.live.step = state.global_step
        super().on_log(args, state, control, **kwargs)


class WandbLogs(integrations.WandbCallback):  # type: ignore[misc]
    """The Trainer's callback for wandb, with a clear error where the login or the server fails."""

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Open the run. Raises ParamsError."""
        try:
            super().on_train_begin(*args, **kwargs)
        except self._wandb.Error as error:
            raise ParamsError(
                f"params.yaml report_to: wandb: {error} Or, to keep the logs on this machine: export WANDB_MODE=offline"
            ) from None


def trackers(report_to: str, home: Path | None = None) -> list[TrainerCallback]:
    """The callback of the tracker that params.yaml names, if any; each run logs to its own folder in .refit/.

    Raises ParamsError where its package is not installed.
    """
    if report_to == "wandb" and not integrations.is_wandb_available():
        raise ParamsError("params.yaml report_to: wandb is not installed; run: .venv/bin/pip install wandb")
    home = home or paths.state_folder()
    moment = time.strftime("%Y-%m-%d_%H-%M-%S")
    run = "-".join(filter(None, [moment, os.environ.get("DVC_EXP_NAME"), str(os.getpid())]))
    if report_to == "tensorboard":
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(home / "tensorboard" / run)
        return [integrations.TensorBoardCallback()]
    if report_to == "dvclive":
        from dvclive import Live as DvcLive

        # DVC creates the experiment and dvc.yaml names the plots, so DVCLive must do neither.
        live = DvcLive(dir=str(home / "dvclive" / run), dvcyaml=None, save_dvc_exp=False, report=None)
        return [DvcLiveLogs(live=live)]
    if report_to == "wandb":
        for name, value in (("WANDB_DIR", home), ("WANDB_PROJECT", "refit"), ("WANDB_NAME", run)):
            os.environ.setdefault(name, str(value))
        return [WandbLogs()]
    return []
