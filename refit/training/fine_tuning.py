"""Fine-tuning from start to end: the run's folder, the model, the Trainer, and the best epoch's model as the output."""

import shutil
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import transformers
from accelerate import PartialState
from transformers import TrainerState, set_seed

from refit import paths
from refit.data.task_record import TaskRecord
from refit.errors import InterruptedRunError, ParamsError, TrainingDivergedError
from refit.model import classifier, cpu_bf16, device
from refit.model.batching import Examples
from refit.model.device import say
from refit.model.inference import Inference
from refit.params import Train, formatted
from refit.storage import files, manifest
from refit.storage.arrow import Rows
from refit.training import arguments, callbacks, checkpoint, curves, distributed, fingerprint, trackers
from refit.training.trainer import ClassifierTrainer


def train(params: Train) -> dict[str, Any]:
    """Fine-tune models/base on data/sampled into models/finetuned, and write the curves; returns the run's figures.

    A run that was killed resumes from its newest checkpoint, and a run that has finished is not trained again.
    """
    arguments.check(params.trainer)
    task = TaskRecord.read(paths.TASK)
    _check(params, task)
    manifest.check_model(paths.BASE_MODEL)
    threads = device.use_threads(params.threads)
    number = device.number_format(params.precision, paths.BASE_MODEL)
    if distributed.count() > 1:
        PartialState(cpu=device.device().type == "cpu")  # joins the group of processes
    run = checkpoint.Run(paths.state_folder(), fingerprint.describe(params, number, threads))
    with run.locked() if distributed.is_main() else nullcontext():
        result = distributed.from_main(run.result)
        if result is None:
            result = _fit(params, task, run, number)
            if distributed.is_main():
                run.finish(result)
        else:
            say("train: an identical run exists; reusing its weights from .refit/runs")
        if not distributed.is_main():
            return {}
        evaluations = curves.evaluations(result["log"], task.best_score)
        best = next(row for row in evaluations if row["step"] == result["best_step"])
        _export(run.checkpoint(result["best_step"]), params.max_length)
    curves.write(curves.steps(result["log"]), paths.STEPS)
    curves.write(evaluations, paths.HISTORY)
    best_score = f"{task.best_score} {best['validation_' + task.best_score]:.4f}"
    say(f"train: kept the model of step {best['step']} (epoch {best['epoch']:.3g}), the best: {best_score}")
    return {**result["figures"], "threads": threads, "number_format": number}


def _check(params: Train, task: TaskRecord) -> None:
    """Raise ParamsError for params that this task cannot have."""
    kind = task.problem_type.replace("_", "-")
    if params.label_smoothing > 0 and kind != "classification":
        given = f"params.yaml label_smoothing: got {params.label_smoothing}"
        raise ParamsError(f"{given}, but this is a {kind} task, whose labels cannot be smoothed; need 0")
    if params.threshold == "best" and (kind != "classification" or len(task.labels) != 2):
        what = f"a {kind} task of {len(task.labels)} labels"
        raise ParamsError(f"params.yaml threshold: got best, which needs two classes, but this is {what}; need argmax")
    weights = {} if isinstance(params.class_weights, str) else params.class_weights
    if unknown := sorted({formatted(label) for label in weights} - set(task.labels)):
        labels = ", ".join(task.labels[:20]) or "no labels"
        raise ParamsError(f"params.yaml class_weights: {unknown[0]!r} is not a label of {task.name}; it has {labels}")


def _fit(params: Train, task: TaskRecord, run: checkpoint.Run, number: device.Format) -> dict[str, Any]:
    """Train until the last step or early stopping; returns what `Run.finish` records."""
    rows = {split: Rows.read(paths.SAMPLED / f"{split}.arrow") for split in ("train", "validation")}
    weights = sum(path.stat().st_size for path in paths.BASE_MODEL.glob("*.safetensors"))
    # A checkpoint is weights and two moments of each; the best, two newest and the one being written exist together.
    files.need_space(run.folder, 4 * 3 * weights, "training")
    fitting = _trainer(params, task, run.folder, rows, number)
    resumed = distributed.from_main(run.newest)
    checkpoints = checkpoint.Checkpoints(run, fitting, resumed)
    fitting.add_callback(checkpoints)
    start = time.perf_counter()
    with checkpoints.listening():
        state = _run_loop(fitting, checkpoints)
    seconds = time.perf_counter() - start
    best = curves.best_step(state.log_history, task.best_score)
    if state.global_step < state.max_steps:
        waited = f"{task.best_score} did not improve in {params.early_stopping} evaluations after step {best}"
        say(f"train: stopped early at step {state.global_step} of {state.max_steps}: {waited}")
    first_step = checkpoint.step_of(resumed) if resumed else 0
    epochs = params.epochs * (state.global_step - first_step) / state.max_steps  # trained by this process
    figures = {
        "loop_seconds": round(seconds, 2),
        "steps": state.global_step,
        "rows": round(len(rows["train"].texts()) * epochs),
        "tokens": round(int(rows["train"].length.sum()) * epochs),
    }
    log = curves.without_timings(state.log_history)
    return {"best_step": best, "last_step": state.global_step, "log": log, "figures": figures}


def _trainer(
    params: Train, task: TaskRecord, folder: Path, rows: dict[str, Rows], number: device.Format
) -> ClassifierTrainer:
    """The Trainer with the model that it fits."""
    given = arguments.training_arguments(params, folder, len(rows["train"]), number)
    set_seed(params.seed)  # the new head is drawn before the Trainer sets the seed
    model = classifier.new(paths.BASE_MODEL, task, params.attention_dropout)
    cpu_bf16.speed_up(model, number)
    inference = None  # the Trainer's own loop uses all processes, and a GPU's workers
    if distributed.count() == 1 and device.device().type != "cuda":
        inference = Inference(model, classifier.collator(paths.BASE_MODEL), params.eval_batch_size, number)
    width: int | Literal["longest"] = params.max_length if params.padding == "max_length" else "longest"
    fitting = ClassifierTrainer(
        model=model,
        args=given,
        train_dataset=Examples(rows["train"]),
        eval_dataset=Examples(rows["validation"]),
        data_collator=classifier.collator(paths.BASE_MODEL, width),
        callbacks=[callbacks.Progress(task.best_score), *trackers.trackers(params.report_to)],
        params=params,
        task=task,
        inference=inference,
    )
    if params.trainer.get("fsdp") and not fitting.is_fsdp_enabled:
        raise ParamsError(
            "params.yaml trainer.fsdp: accelerate does not shard here; need processes: 2 or more with a GPU each"
        )
    fitting.remove_callback(transformers.trainer_callback.PrinterCallback)
    return fitting


def _run_loop(fitting: ClassifierTrainer, checkpoints: checkpoint.Checkpoints) -> TrainerState:
    """Train, from a checkpoint if there is one; returns the last state. Raises InterruptedRunError if asked to stop."""
    resumed = checkpoints.resumed_from
    if resumed is not None:
        state = TrainerState.load_from_json(str(resumed / checkpoint.STATE))
        say(f"train: resuming from step {state.global_step} of {state.max_steps}")
        if checkpoints.is_over(state):
            return state
    try:
        fitting.train(resume_from_checkpoint=str(resumed) if resumed else None)
    except TrainingDivergedError as error:
        advice = "lower lr in params.yaml, or use precision: fp32"
        raise TrainingDivergedError(f"{error}; {checkpoints.run.last_good()}; {advice}") from None
    state = fitting.state
    if not checkpoints.is_over(state):
        can = "progress saved; run the same command to resume" if fitting.is_resumable else "and cannot be resumed"
        raise InterruptedRunError(f"stopped at step {state.global_step} of {state.max_steps}, {can}")
    return state


def _export(checkpoint_folder: Path, max_length: int) -> None:
    """Write models/finetuned: weights, config, and the tokenizer, whose limit becomes that of training."""
    weights = [checkpoint_folder / name for name in checkpoint.MODEL]
    with files.replaced_folder(paths.FINETUNED_MODEL) as folder:
        for path in [*weights, *paths.BASE_MODEL.glob("tokenizer*")]:
            shutil.copyfile(path, folder / path.name)
        settings = files.read_json(folder / "tokenizer_config.json")
        files.write_json(folder / "tokenizer_config.json", {**settings, "model_max_length": max_length})
        manifest.write(folder, {path.name: {} for path in sorted(folder.iterdir())})
