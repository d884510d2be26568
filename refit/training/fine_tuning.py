"""Fine-tuning from start to end: the run's folder, the model, the Trainer, and the best epoch's model as the output."""

import shutil
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import transformers
from transformers import PreTrainedModel, TrainerState, set_seed

from refit import paths
from refit.data.task_record import TaskRecord
from refit.errors import DataError, InterruptedRunError, ParamsError, TrainingDivergedError
from refit.model import classifier, cpu_bf16, device
from refit.model.batching import Examples
from refit.model.inference import Inference
from refit.params import Train
from refit.storage import files, manifest
from refit.storage.arrow import Rows
from refit.training import (
    arguments,
    callbacks,
    checkpoint,
    curves,
    distributed,
    fingerprint,
    model_card,
    trackers,
    trainer,
)
from refit.training.distributed import say

POLYNOMIAL_END = 1e-7  # the last learning rate of transformers' polynomial scheduler


def train(params: Train) -> dict[str, Any]:
    """Fine-tune models/base on data/sampled into models/finetuned, and write the curves; returns the run's figures.

    A run that was killed resumes from its newest checkpoint, and a run that has finished is not trained again.
    """
    arguments.check(params.trainer)
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
        else:
            say("an identical run exists; reusing its weights from .refit/runs")
        if not distributed.is_main():
            return {}
        evaluations = curves.evaluations(result["log"], task.best_score)
        best = next(row for row in evaluations if row["step"] == result["best_step"])
        _export(run.checkpoint(result["best_step"]), _card(params, task, best), params.max_length)
    curves.write(curves.steps(result["log"]), paths.STEPS)
    curves.write(evaluations, paths.HISTORY)
    best_score = f"{task.best_score} {best['validation_' + task.best_score]:.4f}"
    say(f"kept the model of step {best['step']} (epoch {best['epoch']:.3g}), the best: {best_score}")
    return {**result["figures"], "threads": threads, "number_format": number}


def _fit(params: Train, task: TaskRecord, run: checkpoint.Run, number: device.Format) -> dict[str, Any]:
    """Train until the last step or early stopping; returns what `Run.finish` records."""
    rows = {split: Rows.read(paths.SAMPLED / f"{split}.arrow") for split in ("train", "validation")}
    _check(params, task, rows)
    weights = sum(path.stat().st_size for path in paths.BASE_MODEL.glob("*.safetensors"))
    # A checkpoint is weights and two moments of each; the best, two newest and the one being written exist together.
    files.need_space(run.folder, 4 * 3 * weights, "training")
    fitting = _trainer(params, task, run.folder, rows, number)
    resumed = distributed.from_main(run.newest)
    checkpoints = checkpoint.Checkpoints(run, fitting, task.best_score, params.early_stopping, resumed)
    fitting.add_callback(checkpoints)
    start = time.perf_counter()
    with checkpoints.listening():
        state, first_step = _run_loop(fitting, checkpoints)
    seconds = time.perf_counter() - start
    best = curves.best_step(state.log_history, task.best_score)
    if state.global_step < state.max_steps:
        waited = f"{task.best_score} did not improve in {params.early_stopping} evaluations after step {best}"
        say(f"stopped early at step {state.global_step} of {state.max_steps}: {waited}")
    epochs = params.epochs * (state.global_step - first_step) / state.max_steps  # trained by this process
    figures = {
        "loop_seconds": round(seconds, 2),
        "steps": state.global_step,
        "rows": round(len(rows["train"]) * epochs),
        "tokens": round(int(rows["train"].length.sum()) * epochs),
    }
    log = curves.without_timings(state.log_history)
    return {"best_step": best, "last_step": state.global_step, "log": log, "figures": figures}


def _check(params: Train, task: TaskRecord, rows: dict[str, Rows]) -> None:
    """Raise ParamsError for params that do not fit the task, and DataError for examples without a known label."""
    if task.is_regression and params.class_weights != "none":
        raise ParamsError("params.yaml class_weights: got balanced, but this task is a regression; need none")
    if task.is_regression and params.label_smoothing > 0:
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
        if not task.is_regression and unknown.any():
            raise DataError(
                f"data/sampled/{split}.arrow: {int(unknown.sum())} rows have no known label; need a labelled split"
            )


def _trainer(
    params: Train, task: TaskRecord, folder: Path, rows: dict[str, Rows], number: device.Format
) -> trainer.ClassifierTrainer:
    """The Trainer with the model that it fits."""
    given = arguments.training_arguments(params, folder, len(rows["train"]), number)
    if distributed.is_main():
        files.write_text(folder / "training_args.json", given.to_json_string() + "\n")
    set_seed(params.seed)  # the new head is drawn before the Trainer sets the seed
    model = classifier.new(paths.BASE_MODEL, task, params.attention_dropout)
    cpu_bf16.speed_up(model, number)
    is_balanced = params.class_weights == "balanced"
    width: int | Literal["longest"] = params.max_length if params.padding == "max_length" else "longest"
    fitting = trainer.ClassifierTrainer(
        model=model,
        args=given,
        train_dataset=Examples(rows["train"]),
        eval_dataset=Examples(rows["validation"]),
        data_collator=classifier.collator(paths.BASE_MODEL, width, device.device()),
        compute_metrics=trainer.score_function(task.scores, is_regression=task.is_regression),
        callbacks=[callbacks.Progress(task.best_score), *trackers.trackers(params.report_to)],
        class_weights=trainer.balanced_weights(rows["train"].label, len(task.labels)) if is_balanced else None,
        label_smoothing=params.label_smoothing,
        grouped=params.sampling == "length",
        inference=_inference(model, params, number),
        is_resumable=arguments.is_resumable(params),
    )
    if params.trainer.get("fsdp") and not fitting.is_fsdp_enabled:
        raise ParamsError(
            "params.yaml trainer.fsdp: accelerate does not shard here; need processes: 2 or more with a GPU each"
        )
    fitting.remove_callback(transformers.trainer_callback.ProgressCallback)
    fitting.remove_callback(transformers.trainer_callback.PrinterCallback)
    return fitting


def _inference(model: PreTrainedModel, params: Train, number: device.Format) -> Inference | None:
    """What scores validation; None leaves it to the Trainer's loop, which uses all processes and a GPU's workers."""
    if distributed.count() > 1 or device.device().type == "cuda":
        return None
    collate = classifier.collator(paths.BASE_MODEL, device=device.device())
    return Inference(model, collate, params.eval_batch_size, number)


def _run_loop(fitting: trainer.ClassifierTrainer, checkpoints: checkpoint.Checkpoints) -> tuple[TrainerState, int]:
    """Train, from a checkpoint if there is one; returns the last state and the step that this process started at.

    Raises InterruptedRunError if the run was asked to stop, and TrainingDivergedError.
    """
    resumed, first_step = checkpoints.resumed_from, 0
    if resumed is not None:
        state = TrainerState.load_from_json(str(resumed / checkpoint.STATE))
        first_step = state.global_step
        say(f"resuming from step {first_step} of {state.max_steps}")
        if checkpoints.is_over(state):
            return state, first_step
    try:
        fitting.train(resume_from_checkpoint=str(resumed) if resumed else None)
    except TrainingDivergedError as error:
        labels = fitting.train_dataset.rows.label
        advice = "lower lr in params.yaml, or use precision: fp32"
        if fitting.state.global_step == 0 and labels.dtype.kind == "f":  # a regression before lr had any effect
            advice = f"the labels range from {labels.min():g} to {labels.max():g}; scale them, for example to 0 to 1"
        raise TrainingDivergedError(f"{error}; {checkpoints.run.last_good()}; {advice}") from None
    state = fitting.state
    if not checkpoints.is_over(state):
        can = "progress saved; run the same command to resume" if fitting.is_resumable else "and cannot be resumed"
        raise InterruptedRunError(f"stopped at step {state.global_step} of {state.max_steps}, {can}")
    return state, first_step


def _card(params: Train, task: TaskRecord, best: dict[str, Any]) -> str:
    """The model card of the best evaluation's weights."""
    chosen = {name: value for name, value in sorted(params.model_dump().items()) if name not in fingerprint.IRRELEVANT}
    rows = {name.removesuffix(".arrow"): entry["rows"] for name, entry in manifest.read(paths.SAMPLED).items()}
    return model_card.text(task, manifest.read_record(paths.BASE_MODEL / "model.json"), rows, chosen, best)


def _export(best: Path, card: str, max_length: int) -> None:
    """Write models/finetuned: the best checkpoint's weights and config, the tokenizer, and the card.

    The tokenizer's limit becomes the length that was trained with, so that its users truncate as training did.
    """
    with files.replaced_folder(paths.FINETUNED_MODEL) as folder:
        for path in [*(best / name for name in sorted(checkpoint.MODEL)), *paths.BASE_MODEL.glob("tokenizer*")]:
            shutil.copyfile(path, folder / path.name)
        settings = files.read_json(folder / "tokenizer_config.json")
        files.write_json(folder / "tokenizer_config.json", {**settings, "model_max_length": max_length})
        files.write_text(folder / "README.md", card)
        manifest.write(folder, {path.name: {} for path in sorted(folder.iterdir())})
