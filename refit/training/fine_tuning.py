"""Fine-tuning from end to end: the run's folder, the model, the Trainer, and the best epoch's model as the out."""

import math
import shutil
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from transformers import PreTrainedModel, TrainingArguments, set_seed

from refit import paths
from refit.data.task_record import TaskRecord
from refit.errors import DataError, ParamsError, TrainingDivergedError
from refit.model import classifier, cpu_bf16, device
from refit.model.batching import Examples
from refit.model.inference import Inference
from refit.params import Train
from refit.storage import files, manifest
from refit.storage.arrow import Rows
from refit.training import checkpoint, curves, distributed, fingerprint, sharding, throughput, trainer
from refit.training.live import Live, reporters

LOGS_PER_EPOCH = 20
GPU_WORKERS = 2
POLYNOMIAL_END = 1e-7  # the last learning rate of transformers' polynomial scheduler


def train(params: Train) -> dict[str, Any]:
    """Fine-tune models/base on data/sampled into models/finetuned, with the curves; returns the run's figures.

    A run that was killed goes on from its newest checkpoint, and a run that was finished is not done again.
    """
    task = TaskRecord.read(paths.TASK)
    manifest.check_model(paths.BASE_MODEL)
    threads = device.use_threads(params.threads)
    number = device.number_format(params.precision, paths.BASE_MODEL)
    distributed.join(on_cpu=device.device().type == "cpu")
    run = checkpoint.Run(paths.state_folder(), fingerprint.describe(params, number, threads))
    with run.locked() if distributed.is_main() else nullcontext():
        result = distributed.from_main(run.result)
        if result is None:
            result = _fit(params, task, run, number)
            if distributed.is_main():
                run.finish(result)
        elif distributed.is_main():
            print("train: an identical run exists; reusing its weights from .refit/runs", file=sys.stderr)
        if not distributed.is_main():
            return {}
        evaluations = curves.evaluations(result["log"], task.best_score)
        best = next(row for row in evaluations if row["step"] == result["best_step"])
        _export(run.checkpoint(result["best_step"]), _card(params, task, best), params.max_length)
    curves.write(curves.steps(result["log"]), paths.STEPS)
    curves.write(evaluations, paths.HISTORY)
    best_score = f"{task.best_score} {best['validation_' + task.best_score]:.4f}"
    where = f"step {best['step']} (epoch {best['epoch']:.3g})"
    print(f"train: kept the model of {where}, the best: {best_score}", file=sys.stderr)
    return {**result["figures"], "threads": threads, "number_format": number}


def _fit(params: Train, task: TaskRecord, run: checkpoint.Run, number: device.Format) -> dict[str, Any]:
    """Train until the last step or early stopping; returns what `Run.finish` records."""
    rows = {split: Rows.read(paths.SAMPLED / f"{split}.arrow") for split in ("train", "validation")}
    is_regression = task.is_regression
    _check(params, task, rows, is_regression=is_regression)
    best_key = f"eval_{task.best_score}"
    checkpoints = checkpoint.Checkpoints(run, best_key, params.early_stopping)
    values = argument_values(params, len(rows["train"]), number, device.device())
    arguments = TrainingArguments(output_dir=str(run.folder), **values)
    if distributed.is_main():
        files.write_text(run.folder / "training_args.json", arguments.to_json_string() + "\n")

    weights = sum(path.stat().st_size for path in paths.BASE_MODEL.glob("*.safetensors"))
    # A checkpoint is weights and two moments of each; the best, two newest and the one being written are there at once.
    files.need_space(run.folder, 4 * 3 * weights, "training")

    set_seed(params.seed)  # the new head is drawn before the Trainer seeds
    model = classifier.new(paths.BASE_MODEL, task, params.attention_dropout)
    cpu_bf16.speed_up(model, number)
    if params.fsdp is not False:
        sharding.prepare(model)
    width: int | Literal["longest"] = params.max_length if params.padding == "max_length" else "longest"
    live, clock = Live(task.best_score), throughput.StepClock()
    fitting = trainer.ClassifierTrainer(
        model=model,
        args=arguments,
        train_dataset=Examples(rows["train"]),
        eval_dataset=Examples(rows["validation"]),
        data_collator=classifier.collator(paths.BASE_MODEL, width, device.device()),
        compute_metrics=trainer.score_function(task.scores, is_regression=is_regression),
        callbacks=[checkpoints, live, clock, *reporters(params.report_to)],
        class_weights=_class_weights(params, task, rows["train"]),
        label_smoothing=params.label_smoothing,
        grouped=params.sampling == "length",
        answering=_answering(model, params, number),
    )
    fitting.remove_callback(transformers.trainer_callback.ProgressCallback)
    fitting.remove_callback(transformers.trainer_callback.PrinterCallback)
    checkpoints.trainer = fitting
    start = time.perf_counter()
    with checkpoints.listening():
        state = _run_loop(fitting, checkpoints, run)
    seconds = time.perf_counter() - start
    best = checkpoints.best_step(state)
    if state.global_step < state.max_steps and distributed.is_main():
        waited = f"{task.best_score} did not improve in {params.early_stopping} evaluations after step {best}"
        print(f"train: stopped early at step {state.global_step} of {state.max_steps}: {waited}", file=sys.stderr)
    log = [_without_clock(entry) for entry in state.log_history if "loss" in entry or "eval_loss" in entry]
    trained = rows["train"]
    epochs = params.epochs * clock.steps / state.max_steps  # done here, not before a kill or after an early stop
    figures = {
        "loop_seconds": round(seconds, 2),
        "step_seconds": round(clock.seconds, 2),
        "steps": state.global_step,
        "rows": round(len(trained) * epochs),
        "tokens": round(int(trained.length.sum()) * epochs),
    }
    return {"best_step": best, "last_step": state.global_step, "log": log, "figures": figures}


def _run_loop(
    fitting: trainer.ClassifierTrainer, checkpoints: checkpoint.Checkpoints, run: checkpoint.Run
) -> transformers.TrainerState:
    resumed = distributed.from_main(run.newest)
    if resumed is not None:
        state = checkpoint.load_state(resumed)
        if distributed.is_main():
            print(f"train: resuming from step {state.global_step} of {state.max_steps}", file=sys.stderr)
        if checkpoints.is_over(state):
            return state
        checkpoints.resumed_from = resumed
    try:
        fitting.train(resume_from_checkpoint=str(resumed) if resumed else None)
    except TrainingDivergedError as error:
        labels = fitting.train_dataset.rows.label
        advice = "lower lr in params.yaml, or use precision: fp32"
        if fitting.state.global_step == 0 and labels.dtype.kind == "f":  # of a regression; lr has moved nothing yet
            advice = f"the labels range from {labels.min():g} to {labels.max():g}; scale them, for example to 0 to 1"
        raise TrainingDivergedError(f"{error}; {checkpoints.last_good()}; {advice}") from None
    if not checkpoints.is_over(fitting.state):
        raise checkpoint.interrupted(fitting.state, is_resumable=not fitting.is_deepspeed_enabled)
    return fitting.state


def argument_values(params: Train, rows: int, number: device.Format, place: torch.device) -> dict[str, Any]:
    """The Trainer's arguments for a device, in the words of transformers 5; epochs are counted out in steps.

    `rows` is the number of training rows. On a GPU matrices are multiplied in TF32 where they are not in 16 bits,
    batches are pinned and made by workers.
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
        "torch_compile": params.compile,
        "dataloader_pin_memory": on_gpu,
        "dataloader_num_workers": GPU_WORKERS if on_gpu else 0,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "report_to": "none",
        **sharding.arguments(params),
    }


def _check(params: Train, task: TaskRecord, rows: dict[str, Rows], *, is_regression: bool) -> None:
    if is_regression and params.class_weights != "none":
        raise ParamsError("params.yaml class_weights: got balanced, but this task is a regression; need none")
    if is_regression and params.label_smoothing > 0:
        raise ParamsError(
            "params.yaml label_smoothing: this task is a regression, which has no labels to smooth; need 0"
        )
    if params.scheduler == "polynomial" and params.lr <= POLYNOMIAL_END:
        raise ParamsError(
            f"params.yaml lr: got {params.lr}, but scheduler: polynomial ends at {POLYNOMIAL_END}; "
            "need a higher lr, or scheduler: linear"
        )
    for split, part in rows.items():
        unknown = (part.label < 0) | (part.label >= len(task.labels))
        if not is_regression and unknown.any():
            raise DataError(
                f"data/sampled/{split}.arrow: {int(unknown.sum())} rows have no known label; need a labelled split"
            )


def _class_weights(params: Train, task: TaskRecord, rows: Rows) -> torch.Tensor | None:
    if params.class_weights == "none":
        return None
    return trainer.balanced_weights(rows.label, len(task.labels))


def _answering(model: PreTrainedModel, params: Train, number: device.Format) -> Inference | None:
    """What answers validation; None leaves it to the Trainer's loop, which shares it out and feeds a GPU by workers."""
    if distributed.count() > 1 or device.device().type == "cuda":
        return None
    collate = classifier.collator(paths.BASE_MODEL, device=device.device())
    return Inference(model, collate, params.eval_batch_size, number)


def _without_clock(entry: dict[str, Any]) -> dict[str, Any]:
    """A log entry without what differs from run to run."""
    return {name: value for name, value in entry.items() if not name.endswith(("_runtime", "_per_second"))}


def _card(params: Train, task: TaskRecord, best: dict[str, Any]) -> str:
    """The model card of the best evaluation's weights."""
    # Here and not above, because it does not reach the weights: every module that is loaded when the run is described
    # is part of its fingerprint, and another wording of the card is no reason to train again.
    from refit.training import model_card

    chosen = {name: value for name, value in params.model_dump().items() if name not in fingerprint.IRRELEVANT}
    rows = {name.removesuffix(".arrow"): entry["rows"] for name, entry in manifest.read(paths.SAMPLED).items()}
    return model_card.text(task, files.read_json(paths.BASE_MODEL / "model.json"), rows, chosen, best)


def _export(best: Path, card: str, max_length: int) -> None:
    """Write models/finetuned: the best checkpoint's weights and config, the tokenizer, and the card.

    The tokenizer's limit becomes the length that was trained with, so that the folder alone cuts texts alike.
    """
    with files.replaced_folder(paths.FINETUNED_MODEL) as folder:
        for name in sorted(checkpoint.MODEL):
            shutil.copyfile(best / name, folder / name)
        for path in sorted(paths.BASE_MODEL.glob("tokenizer*")):
            shutil.copyfile(path, folder / path.name)
        settings = files.read_json(folder / "tokenizer_config.json")
        files.write_json(folder / "tokenizer_config.json", {**settings, "model_max_length": max_length})
        files.write_text(folder / "README.md", card)
        manifest.write(folder, {path.name: {} for path in sorted(folder.iterdir())})
