"""The Trainer's arguments: those that refit sets from its params, and any other under `trainer:` in params.yaml."""

import difflib
import math
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from transformers import TrainingArguments

from refit.errors import ParamsError
from refit.model import device
from refit.params import TRAINER_NAMES, Train, formatted
from refit.training import distributed

LOGS_PER_EPOCH = 20
GPU_WORKERS = 2
# Arguments that refit decides, because its resuming, its checkpoints or its curves depend on them.
DECIDED = {
    "auto_find_batch_size", "disable_tqdm", "do_eval", "do_predict", "do_train", "enable_jit_checkpoint", "eval_delay",
    "eval_on_start", "greater_is_better", "ignore_data_skip", "label_names", "load_best_model_at_end", "local_rank",
    "logging_nan_inf_filter", "logging_strategy", "metric_for_best_model", "output_dir", "prediction_loss_only",
    "push_to_hub", "remove_unused_columns", "restore_callback_states_from_checkpoint", "resume_from_checkpoint",
    "save_only_model", "save_total_limit", "use_cpu",
}  # fmt: skip
# Their state is more than one set of tensors in one process, which checkpoint_io.py can save.
NOT_RESUMABLE = ("deepspeed", "fsdp", "optim", "parallelism_config")
RESUMABLE_OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "sgd")


def training_arguments(params: Train, folder: Path, rows: int, number: device.Format) -> TrainingArguments:
    """The Trainer's arguments for a run in `folder` on `rows` training rows.

    Raises ParamsError for what `trainer:` may not hold.
    """
    check(params.trainer)
    try:
        return TrainingArguments(
            output_dir=str(folder), **{**values(params, rows, number, device.device()), **params.trainer}
        )
    except (ValueError, TypeError, ImportError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise ParamsError(f"params.yaml trainer: got {formatted(params.trainer)}; the Trainer says: {first}") from None


def check(given: dict[str, Any]) -> None:
    """Raise ParamsError for a name under `trainer:` that is unknown or that refit sets, or a value of a wrong type."""
    known = {argument.name for argument in fields(TrainingArguments)}
    types = get_type_hints(TrainingArguments)
    for name, value in given.items():
        where = f"params.yaml trainer.{name}"
        if name in TRAINER_NAMES or name in known & {"seed", "report_to", "weight_decay", "max_grad_norm"}:
            raise ParamsError(
                f"{where}: refit sets this argument; use the param {TRAINER_NAMES.get(name, name)} instead"
            )
        if name in DECIDED or name.startswith("hub_"):
            raise ParamsError(f"{where}: refit decides this argument; remove it")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "see transformers.TrainingArguments for their names"
            raise ParamsError(f"{where}: the Trainer has no such argument; {hint}")
        try:
            TypeAdapter(types[name], config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
        except ValidationError as error:
            wanted = error.errors()[0]["msg"].removeprefix("Input should be ")
            raise ParamsError(f"{where}: got {formatted(value)}, need {wanted}") from None
    _check_deepspeed(given.get("deepspeed"))


def _check_deepspeed(config: Any) -> None:
    """Raise ParamsError for ZeRO stage 3 without a gathered model, which the Trainer would save as pickled parts."""
    zero = config.get("zero_optimization") if isinstance(config, dict) else None
    gathers = "stage3_gather_16bit_weights_on_model_save"
    if isinstance(zero, dict) and zero.get("stage") == 3 and zero.get(gathers) is not True:
        raise ParamsError(f"params.yaml trainer.deepspeed: stage 3 needs zero_optimization.{gathers}: true")


def is_resumable(params: Train) -> bool:
    """Whether a run with these params can be resumed from a checkpoint; with a warning if not."""
    given = {name: value for name, value in params.trainer.items() if name in NOT_RESUMABLE and value}
    names = [name for name, value in given.items() if value not in RESUMABLE_OPTIMIZERS]
    if names and distributed.is_main():
        print(
            f"train: trainer.{names[0]}: this run cannot be resumed; if it is stopped, it starts again", file=sys.stderr
        )
    return not names


def values(params: Train, rows: int, number: device.Format, place: torch.device) -> dict[str, Any]:
    """The arguments that refit sets for a device, under the names of transformers 5; epochs are counted in steps.

    On a GPU, matrices are multiplied in TF32 where they are not in 16 bits, batches are pinned and made by workers.
    """
    on_gpu = place.type == "cuda"
    epoch_steps = max(1, math.ceil(math.ceil(rows / params.batch_size) / params.grad_accum))
    return {
        "learning_rate": params.lr,
        "num_train_epochs": params.epochs,
        "per_device_train_batch_size": params.batch_size // distributed.count(),
        "per_device_eval_batch_size": params.eval_batch_size,
        "gradient_accumulation_steps": params.grad_accum,
        "weight_decay": params.weight_decay,
        "warmup_steps": params.warmup,
        "lr_scheduler_type": params.scheduler,
        "max_grad_norm": params.max_grad_norm,
        "optim": "adamw_torch_fused",
        "eval_strategy": "steps",
        "eval_steps": epoch_steps if params.eval_every == "epoch" else params.eval_every,
        "save_strategy": "steps",
        "save_steps": epoch_steps if params.save_every == "epoch" else params.save_every,
        "logging_steps": max(1, epoch_steps // LOGS_PER_EPOCH),
        "logging_nan_inf_filter": False,
        "seed": params.seed,
        "data_seed": params.seed,
        "bf16": number == "bf16",
        "fp16": number == "fp16",
        "tf32": True if on_gpu and params.precision != "fp32" and device.has_tf32() else None,
        "use_cpu": place.type == "cpu",
        "dataloader_pin_memory": on_gpu,
        "dataloader_num_workers": GPU_WORKERS if on_gpu else 0,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "report_to": "none",
    }
