"""The Trainer's arguments: those that refit sets from its params, and any other under `trainer:` in params.yaml."""

import copy
import difflib
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from transformers import TrainingArguments

from refit.errors import ParamsError
from refit.model import device
from refit.params import TRAINER_NAMES, Train, names, shown
from refit.training import distributed

LOGS_PER_EPOCH = 20
GPU_WORKERS = 2
# Arguments that refit decides, because its resuming, its checkpoints or its curves depend on them.
DECIDED = {
    "auto_find_batch_size", "batch_eval_metrics", "dataloader_drop_last", "disable_tqdm", "do_eval", "do_predict",
    "do_train", "enable_jit_checkpoint", "eval_delay", "eval_do_concat_batches", "eval_on_start",
    "eval_use_gather_object", "greater_is_better", "ignore_data_skip", "include_for_metrics", "label_names",
    "load_best_model_at_end", "local_rank", "logging_nan_inf_filter", "logging_strategy", "metric_for_best_model",
    "output_dir", "parallelism_config", "prediction_loss_only", "push_to_hub", "remove_unused_columns",
    "restore_callback_states_from_checkpoint", "resume_from_checkpoint", "save_on_each_node", "save_only_model",
    "save_total_limit", "use_cpu",
}  # fmt: skip
# Their state is more than one set of tensors in one process, which checkpoint_io.py can save.
NOT_RESUMABLE = ("deepspeed", "fsdp", "optim")
RESUMABLE_OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "sgd")
# DeepSpeed does not clip gradients unless its configuration says so; "auto" takes the Trainer's value.
DEEPSPEED_AUTO = ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
GATHERS = "stage3_gather_16bit_weights_on_model_save"


def training_arguments(params: Train, folder: Path, rows: int, number: device.Format) -> TrainingArguments:
    """The Trainer's arguments for a run in `folder` on `rows` training rows.

    Raises ParamsError for what `trainer:` may not hold.
    """
    check(params.trainer)
    others = copy.deepcopy(params.trainer)  # TrainingArguments changes the mappings that it is given
    if others.get("deepspeed"):
        others["deepspeed"] = dict.fromkeys(DEEPSPEED_AUTO, "auto") | others["deepspeed"]
    with refusals_named():
        return TrainingArguments(output_dir=str(folder), **{**values(params, rows, number, device.device()), **others})


@contextmanager
def refusals_named() -> Iterator[None]:
    """Turn what transformers or torch refuse of `trainer:` inside of this into a ParamsError."""
    try:
        yield
    except (ValueError, TypeError, ImportError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise ParamsError(f"params.yaml trainer: the Trainer refuses it: {first}") from None


def check(trainer: dict[str, Any]) -> None:
    """Check the names and the types of the values under `trainer:`.

    Raises ParamsError, naming every name that is unknown or set by refit and every value of a wrong type.
    """
    known = {argument.name for argument in fields(TrainingArguments)}
    types = get_type_hints(TrainingArguments)
    types["fsdp"] |= bool  # as its documentation says
    problems = [problem for name, value in trainer.items() if (problem := _problem(name, value, known, types))]
    if problems:
        raise ParamsError("params.yaml " + "; ".join(problems))


def _problem(name: str, value: Any, known: set[str], types: dict[str, Any]) -> str | None:
    param = TRAINER_NAMES.get(name, name)
    if param in names():
        return f"trainer.{name}: refit sets this argument; use the param {param} instead"
    if name in DECIDED or name.startswith("hub_"):
        return f"trainer.{name}: refit decides this argument; remove it"
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "see transformers.TrainingArguments for their names"
        return f"trainer.{name}: the Trainer has no such argument; {hint}"
    got = f"trainer.{name}: got {shown(value)}"
    if isinstance(value, str) and any(get_origin(kind) is dict or kind is dict for kind in get_args(types[name])):
        return f"{got}, need a mapping; DVC would not notice a change of a file that is named here"
    try:
        kind = TypeAdapter(types[name], config=ConfigDict(arbitrary_types_allowed=True))
        kind.validate_json(json.dumps(value, default=str), strict=True)  # from JSON, enums accept their values
    except ValidationError as error:
        return f"{got}, need {error.errors()[0]['msg'].removeprefix('Input should be ')}"
    zero = value.get("zero_optimization") if name == "deepspeed" and isinstance(value, dict) else None
    if isinstance(zero, dict) and zero.get("stage") == 3 and zero.get(GATHERS) is not True:
        return f"trainer.deepspeed: stage 3 needs zero_optimization.{GATHERS}: true, or the saved model is not complete"
    return None


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
