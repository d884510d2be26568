"""Hugging Face's Trainer with refit's loss, order of batches, evaluation and checkpoint files.

This is the only file that uses private attributes and methods of the Trainer, and the reason why transformers is pinned
to one minor version. Whatever the Trainer brings (GPUs, FSDP, DeepSpeed, accelerate, torchrun) stays.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Sampler
from transformers import EvalPrediction, Trainer
from transformers.trainer_utils import EvalLoopOutput

from refit.data.task_record import TaskRecord
from refit.errors import TrainingDivergedError
from refit.evaluation import decisions, hf_evaluate
from refit.model.batching import Example, Examples, LengthGroupedSampler, by_length
from refit.model.inference import Inference, mean_of_windows
from refit.params import Train, formatted
from refit.stage import bar
from refit.storage import files
from refit.training import arguments, checkpoint_io
from refit.training.checkpoint_io import SCALER, SCHEDULER


class ClassifierTrainer(Trainer):  # type: ignore[misc]
    """A Trainer for sequence classification and regression.

    Class weights and label smoothing shape the training loss alone, so that validation losses can be compared.
    `inference` computes the logits of validation as the evaluate stage does; without it, the Trainer's own loop does.
    Raises TrainingDivergedError at a loss, gradient or validation loss that is not finite, before it reaches the
    weights; the Trainer's own filter would only hide such a loss in the log.
    """

    loss_is_scaled_for_ga = False

    def __init__(self, *, params: Train, task: TaskRecord, inference: Inference | None, **kwargs: Any) -> None:
        with arguments.refusals_named():
            super().__init__(**kwargs, compute_metrics=self._scores)
        self.params = params
        self.task = task
        self.inference = inference
        self.is_resumable = arguments.is_resumable(params)
        self.class_weights: torch.Tensor | None = None
        if params.class_weights != "none" and not task.is_regression:
            self.class_weights = class_weights(params.class_weights, self.train_dataset.rows.texts().label, task.labels)

    def compute_loss(
        self, model: torch.nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **kwargs: Any
    ) -> Any:
        """The mean loss of a batch: cross-entropy, or the squared error for regression."""
        labels = inputs["labels"]
        outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
        loss = self._loss(outputs.logits.float(), labels, training=model.training)
        return (loss, outputs) if return_outputs else loss

    # They raise ParamsError for values under `trainer:` that they cannot take.
    create_optimizer = arguments.refusals_named()(Trainer.create_optimizer)
    create_scheduler = arguments.refusals_named()(Trainer.create_scheduler)

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """One forward and backward pass."""
        loss: torch.Tensor = super().training_step(model, inputs, *args, **kwargs)
        self._check(loss.item(), "the loss", self.state.global_step + 1)
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The validation loss and scores; random generators keep their state, so that looking changes no weights."""
        states = checkpoint_io.generators()
        try:
            measured: dict[str, float] = super().evaluate(*args, **kwargs)
        finally:
            checkpoint_io.restore_generators(states)
        self._check(measured.get("eval_loss", 0.0), "the validation loss", self.state.global_step)
        return measured

    def evaluation_loop(self, dataloader: DataLoader[Example], *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Score a dataset; the loss is that of all texts, also if some are repeated to fill the processes' batches."""
        rows = cast(Examples, dataloader.dataset).rows
        texts = rows.texts()
        if self.inference is not None:
            with bar(total=len(texts), desc="validation") as progress:
                logits = self.inference.logits(rows, progress)
        else:
            longest_first = super().evaluation_loop(dataloader, *args, **kwargs).predictions
            logits = np.empty(longest_first.shape, np.float32)
            logits[by_length(rows)] = longest_first
            logits = mean_of_windows(logits, rows.text_starts())
        measured = self.compute_metrics(EvalPrediction(predictions=logits, label_ids=texts.label))
        measured["loss"] = self._loss(torch.from_numpy(logits), torch.from_numpy(texts.label), training=False).item()
        prefix = kwargs.get("metric_key_prefix", "eval")
        metrics = {f"{prefix}_{name}": value for name, value in measured.items()}
        return EvalLoopOutput(predictions=logits, label_ids=texts.label, metrics=metrics, num_samples=len(texts))

    def loss_sums(self) -> dict[str, float]:
        """The sums of the next logged loss, which a resuming Trainer loses; waits until every process calls this."""
        return {
            "loss": self.accelerator.reduce(self._tr_loss, "mean").item(),
            "total_loss": self._total_loss_scalar,
            "last_logged": self._globalstep_last_logged,
        }

    def is_true_in_any_process(self, flag: bool) -> bool:
        """Whether a flag is set in any process; every process has to call this."""
        highest: torch.Tensor = self.accelerator.reduce(torch.tensor(int(flag), device=self.args.device), "max")
        return highest.item() > 0

    def restore_loss_sums(self, sums: dict[str, Any]) -> None:
        """Set what `loss_sums` returned."""
        self._tr_loss = torch.tensor(sums["loss"], device=self.args.device)
        self._total_loss_scalar = sums["total_loss"]
        self._globalstep_last_logged = sums["last_logged"]

    def _scores(self, prediction: EvalPrediction) -> dict[str, float]:
        """The task's scores on validation, with the best thresholds for them, where the task has thresholds."""
        task, logits, labels = self.task, np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
        thresholds: list[float] = []
        if task.is_multi_label or self.params.threshold == "best":
            thresholds = decisions.best_thresholds(logits, labels, task.problem_type, task.best_score)
            self.model.config.update({decisions.KEY: decisions.to_config(thresholds, task.labels)})
        return hf_evaluate.compute(task.scores, labels, decisions.predictions(logits, task.problem_type, thresholds))

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor, *, training: bool) -> torch.Tensor:
        if self.task.is_regression:
            return functional.mse_loss(logits.squeeze(-1), labels.float())
        weights = self.class_weights.to(logits.device) if training and self.class_weights is not None else None
        if self.task.is_multi_label:
            return functional.binary_cross_entropy_with_logits(logits, labels.float(), pos_weight=weights)
        if not training:
            return functional.cross_entropy(logits, labels)
        return functional.cross_entropy(logits, labels, weight=weights, label_smoothing=self.params.label_smoothing)

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        """The norm that the Trainer logs, computed before every step; fp16's loss scaling skips bad steps by itself."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if self.accelerator.scaler is None:
            self._check(float(norm), "the gradient's norm", self.state.global_step + 1)
        return norm

    def _check(self, value: float, what: str, step: int) -> None:
        if not math.isfinite(value):
            rate = self._get_learning_rate()
            raise TrainingDivergedError(f"training diverged at step {step}: {what} is {value} (lr {rate:g})")

    def _get_train_sampler(self, train_dataset: Examples | None = None) -> Sampler[int] | None:
        if self.params.sampling == "random":
            return super()._get_train_sampler(train_dataset)  # type: ignore[no-any-return]
        batch_size = self.args.train_batch_size * self.args.world_size
        return LengthGroupedSampler(self.train_dataset.rows.length, batch_size, self.args.seed)

    def _get_eval_sampler(self, eval_dataset: Examples) -> list[int]:
        longest_first: list[int] = by_length(eval_dataset.rows).tolist()
        return longest_first

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """Write the model alone: the Trainer would add pickled arguments with the hub token in them."""
        if self.args.should_save:
            model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
            model.save_pretrained(output_dir or self.args.output_dir, state_dict=state_dict)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.args.should_save and self.is_resumable:
            checkpoint_io.save_optimizer(self.optimizer.state_dict(), Path(output_dir))
            files.write_json(Path(output_dir) / SCHEDULER, self.lr_scheduler.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self.optimizer.load_state_dict(checkpoint_io.load_optimizer(Path(checkpoint)))
            self.lr_scheduler.load_state_dict(files.read_json(Path(checkpoint) / SCHEDULER))

    def _save_scaler(self, output_dir: str) -> None:
        if self.accelerator.scaler is not None and self.args.should_save:
            files.write_json(Path(output_dir) / SCALER, self.accelerator.scaler.state_dict())

    def _load_scaler(self, checkpoint: str | None) -> None:
        if checkpoint is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(files.read_json(Path(checkpoint) / SCALER))

    def _save_rng_state(self, output_dir: str) -> None:
        files.write_json(Path(output_dir) / f"rng_state_{self.args.process_index}.json", checkpoint_io.generators())

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            name = f"rng_state_{self.args.process_index}.json"
            checkpoint_io.restore_generators(files.read_json(Path(checkpoint) / name))


def class_weights(chosen: str | Mapping[Any, float], labels: npt.NDArray[Any], names: Sequence[str]) -> torch.Tensor:
    """The weight of each class in the loss, for labels (rows); 1 for a class without rows or not in a mapping.

    balanced: rows / (classes × rows of the class), as in scikit-learn. Of multi-label (rows, labels): rows without the
    label / rows with it, the weight of the latter. sqrt: the square root of these.
    """
    if not isinstance(chosen, str):
        given = {formatted(name): weight for name, weight in chosen.items()}
        return torch.tensor([given.get(name, 1.0) for name in names])
    if labels.ndim == 2:
        counts = labels.sum(axis=0, dtype=np.int64)
        others, scale = len(labels) - counts, counts
    else:
        counts = np.bincount(labels, minlength=len(names))
        others, scale = np.full(len(names), len(labels)), len(names) * counts
    weights = np.divide(others, scale, out=np.ones(len(names)), where=counts > 0)
    found = torch.from_numpy(weights).float()
    return found if chosen == "balanced" else found.sqrt()
