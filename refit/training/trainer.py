"""Hugging Face's Trainer, with our loss, our order of batches, and evaluation that leaves no trace.

Everything that the Trainer brings (GPUs, FSDP, DeepSpeed, accelerate, torchrun) stays.
"""

import random
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Sampler
from transformers import EvalPrediction
from transformers.trainer_utils import EvalLoopOutput

from refit.evaluation import hf_evaluate, metrics
from refit.model.batching import Example, Examples, LengthGroupedSampler, by_length
from refit.model.inference import Inference
from refit.stage import bar
from refit.storage.arrow import Rows
from refit.training.checkpoint_io import StateFiles
from refit.training.finite import FiniteOnly


class ClassifierTrainer(FiniteOnly, StateFiles):
    """A Trainer for sequence classification and regression.

    `class_weights` (labels,) weigh the loss of each class; `label_smoothing` is taken from the weight of the true
    label and spread over all. Both shape the training loss alone: the validation loss stays comparable. Validation is
    answered by `answering`, as `evaluate` will do it; without, by the Trainer's own loop.
    """

    loss_is_scaled_for_ga = False

    def __init__(
        self,
        *,
        class_weights: torch.Tensor | None,
        label_smoothing: float,
        grouped: bool,
        answering: Inference | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.class_weights = class_weights
        self.label_smoothing = label_smoothing
        self.grouped = grouped
        self.answering = answering

    def compute_loss(
        self, model: torch.nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **kwargs: Any
    ) -> Any:
        """The mean loss of a batch: cross-entropy, or the squared error for regression."""
        labels = inputs["labels"]
        outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
        loss = self._loss(outputs.logits.float(), labels, training=model.training)
        return (loss, outputs) if return_outputs else loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate without moving any random generator, so that how often we look does not change the weights."""
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])
            if cuda:
                torch.cuda.set_rng_state_all(cuda)

    def evaluation_loop(self, dataloader: DataLoader[Example], *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Score a dataset; the loss is that of all rows at once, also where processes' shares repeat some."""
        prefix = kwargs.get("metric_key_prefix", "eval")
        if self.answering is None:
            output = super().evaluation_loop(dataloader, *args, **kwargs)
        else:
            output = self._answer(self.answering, cast(Examples, dataloader.dataset).rows, prefix)
        logits = torch.from_numpy(np.asarray(output.predictions, dtype=np.float32))
        loss = self._loss(logits, torch.from_numpy(np.asarray(output.label_ids)), training=False)
        output.metrics[f"{prefix}_loss"] = loss.item()
        return output

    def _answer(self, answering: Inference, rows: Rows, prefix: str) -> EvalLoopOutput:
        with bar(total=len(rows), desc="validation") as progress:
            logits = answering.logits(rows, progress)
        measured = self.compute_metrics(EvalPrediction(predictions=logits, label_ids=rows.label))
        metrics = {f"{prefix}_{name}": value for name, value in measured.items()}
        return EvalLoopOutput(predictions=logits, label_ids=rows.label, metrics=metrics, num_samples=len(rows))

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor, *, training: bool) -> torch.Tensor:
        if logits.shape[-1] == 1:
            return functional.mse_loss(logits.squeeze(-1), labels.float())
        if not training:
            return functional.cross_entropy(logits, labels)
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        return functional.cross_entropy(logits, labels, weight=weights, label_smoothing=self.label_smoothing)

    def _get_train_sampler(self, train_dataset: Examples | None = None) -> Sampler[int] | None:
        examples = train_dataset if train_dataset is not None else self.train_dataset
        if self.grouped and isinstance(examples, Examples):
            return LengthGroupedSampler(
                examples.rows.length, self.args.train_batch_size * self.args.world_size, self.args.seed
            )
        return super()._get_train_sampler(train_dataset)  # type: ignore[no-any-return]

    def _get_eval_sampler(self, eval_dataset: Examples) -> list[int]:
        longest_first: list[int] = by_length(eval_dataset.rows).tolist()
        return longest_first


def balanced_weights(labels: npt.NDArray[np.int64], classes: int) -> torch.Tensor:
    """The weight of each class, rows / (classes × rows of the class): scikit-learn's `balanced`.

    A class without rows gets 1: no row has its loss weighed by it.
    """
    counts = np.bincount(labels, minlength=classes)
    weights = np.divide(len(labels), classes * counts, out=np.ones(classes), where=counts > 0)
    return torch.from_numpy(weights).float()


def score_function(names: list[str], *, is_regression: bool) -> Any:
    """The Trainer's compute_metrics for the named scores."""

    def compute(prediction: EvalPrediction) -> dict[str, float]:
        outputs = prediction.predictions
        logits = np.asarray(outputs[0] if isinstance(outputs, tuple) else outputs)
        answers = metrics.predictions_of(logits, is_regression=is_regression)
        return hf_evaluate.compute(names, np.asarray(prediction.label_ids), answers)

    return compute
