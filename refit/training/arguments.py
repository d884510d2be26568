"""The Trainer's arguments: those that refit sets from its params, and any other under `trainer:` in params.yaml."""

import copy
import difflib
import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from transformers import TrainingArguments

from refit.errors import ParamsError
from refit.model import device
from refit.model.device import say
from refit.params import TRAINER_NAMES, Train, names, shown
from refit.training import distributed

LOGS_PER_EPOCH = 20
GPU_WORKERS = 2
# Arguments that refit decides, because its resuming, its checkpoints or its curves depend on them, and two of no use
# here: Liger's kernels are for decoders, and refit itself stops at a number that is not finite, as `debug` does.
DECIDED = {
    "auto_find_batch_size", "batch_eval_metrics", "dataloader_drop_last", "debug", "disable_tqdm", "do_eval",
    "do_predict", "do_train", "enable_jit_checkpoint", "eval_delay", "eval_do_concat_batches", "eval_on_start",
    "eval_use_gather_object", "greater_is_better", "ignore_data_skip", "include_for_metrics", "label_names",
    "liger_kernel_config", "load_best_model_at_end", "local_rank", "logging_nan_inf_filter", "logging_strategy",
    "metric_for_best_model", "output_dir", "parallelism_config", "prediction_loss_only", "push_to_hub",
    "remove_unused_columns", "restore_callback_states_from_checkpoint", "resume_from_checkpoint", "save_on_each_node",
    "save_only_model", "save_total_limit", "use_cpu", "use_liger_kernel",
}  # fmt: skip
# Their state is more than one set of tensors in one process, which checkpoint_io.py can save.
NOT_RESUMABLE = ("deepspeed", "fsdp", "optim")
RESUMABLE_OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "sgd")
# DeepSpeed does not clip gradients unless its configuration says so; "auto" takes the Trainer's value.
DEEPSPEED_AUTO = ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
FSDP_KEYS = {
    "activation_checkpointing", "auto_wrap_policy", "backward_prefetch", "cpu_offload", "cpu_ram_efficient_loading",
    "forward_prefetch", "limit_all_gathers", "min_num_params", "reshard_after_forward", "state_dict_type",
    "sync_module_states", "transformer_layer_cls_to_wrap", "use_orig_params", "version",
}  # fmt: skip


def training_arguments(params: Train, folder: Path, rows: int, number: device.Format) -> TrainingArguments:
    """The Trainer's arguments for a run in `folder` on `rows` training rows, with those under `trainer:`."""
    others = copy.deepcopy(params.trainer)  # TrainingArguments changes the mappings that it is given
    with refusals_named():
        if deepspeed := others.get("deepspeed"):
            # The saved model has to be complete, also where its weights are sharded (stage 3).
            zero = {**deepspeed.get("zero_optimization", {}), "stage3_gather_16bit_weights_on_model_save": True}
            others["deepspeed"] = {**dict.fromkeys(DEEPSPEED_AUTO, "auto"), **deepspeed, "zero_optimization": zero}
        return TrainingArguments(output_dir=str(folder), **{**values(params, rows, number, device.device()), **others})


@contextmanager
def refusals_named() -> Iterator[None]:
    """Turn what transformers or torch refuse of the arguments inside of this into a ParamsError."""
    try:
        yield
    except (ValueError, TypeError, ImportError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise ParamsError(f"params.yaml: the Trainer refuses a param or a value under trainer: {first}") from None


def check(trainer: dict[str, Any]) -> None:
    """Raise ParamsError, naming every name under `trainer:` that is unknown or set by refit and every wrong value."""
    types = get_type_hints(TrainingArguments)
    types["fsdp"] |= bool  # as its documentation says
    problems = [problem for name, value in trainer.items() if (problem := _problem(name, value, types))]
    if problems:
        raise ParamsError("params.yaml " + "; ".join(problems))


def _problem(name: str, value: Any, types: dict[str, Any]) -> str | None:
    param = TRAINER_NAMES.get(name, name)
    if param in names():
        return f"trainer.{name}: refit sets this argument; use the param {param} instead"
    if name in DECIDED or name.startswith("hub_"):
        return f"trainer.{name}: refit decides this argument; remove it"
    if name not in types:
        return _unknown(name, name, types)
    got = f"trainer.{name}: got {shown(value)}"
    if isinstance(value, str) and any(get_origin(kind) is dict or kind is dict for kind in get_args(types[name])):
        return f"{got}, need a mapping; DVC would not notice a change of a file that is named here"
    try:
        kind = TypeAdapter(types[name], config=ConfigDict(arbitrary_types_allowed=True))
        kind.validate_json(json.dumps(value, default=str), strict=True)  # from JSON, enums accept their values
    except ValidationError as error:
        return f"{got}, need {error.errors()[0]['msg'].removeprefix('Input should be ')}"
    if name == "fsdp_config":  # its unknown keys are ignored by transformers
        for key in [key for key in value or () if key.removeprefix("fsdp_") not in FSDP_KEYS]:
            return _unknown(f"fsdp_config.{key}", key, FSDP_KEYS)
    return None


def _unknown(where: str, name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else "see transformers.TrainingArguments for their names"
    return f"trainer.{where}: the Trainer has no such argument; {hint}"


def is_resumable(params: Train) -> bool:
    """Whether a run with these params can be resumed from a checkpoint; with a warning if not."""
    given = [
        name for name in NOT_RESUMABLE if (value := params.trainer.get(name)) and value not in RESUMABLE_OPTIMIZERS
    ]
    if given:
        say(f"train: trainer.{given[0]}: this run cannot be resumed; if it is stopped, it starts again")
    return not given


def values(params: Train, rows: int, number: device.Format, place: torch.device) -> dict[str, Any]:
    """The arguments that refit sets for a device, under the names of transformers 5; epochs are counted in steps."""
    on_gpu = place.type == "cuda"
    has_tf32 = on_gpu and torch.cuda.get_device_capability() >= (8, 0)
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
        "tf32": True if has_tf32 and params.precision != "fp32" else None,
        "use_cpu": place.type == "cpu",
        "dataloader_pin_memory": on_gpu,
        "dataloader_num_workers": GPU_WORKERS if on_gpu else 0,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "report_to": "none",
    }
