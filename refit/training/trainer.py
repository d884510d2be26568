"""Hugging Face's Trainer, with our loss, our order of batches, and evaluation that leaves no trace.

Everything that the Trainer brings (GPUs, FSDP, DeepSpeed, accelerate, torchrun) stays.
"""

import random
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from torch.utils.data import Sampler, SequentialSampler
from transformers import EvalPrediction

from refit.modeling.batching import Examples, LengthGroupedSampler
from refit.scoring import scores
from refit.training.finite import FiniteOnly
from refit.training.state_files import StateFiles


class ClassifierTrainer(FiniteOnly, StateFiles):
    """A Trainer for sequence classification and regression.

    `class_weights` (labels,) weigh the loss of each class; `label_smoothing` is taken from the weight of the true
    label and spread over all. Both shape the training loss alone: the validation loss stays comparable.
    """

    loss_is_scaled_for_ga = False

    def __init__(
        self, *, class_weights: torch.Tensor | None, label_smoothing: float, grouped: bool, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.class_weights = class_weights
        self.label_smoothing = label_smoothing
        self.grouped = grouped

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

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Score a dataset; the loss of several processes, whose shares are padded with repeated rows, is taken anew."""
        output = super().evaluation_loop(*args, **kwargs)
        if self.args.world_size > 1 and output.label_ids is not None:
            logits = torch.from_numpy(np.asarray(output.predictions, dtype=np.float32))
            loss = self._loss(logits, torch.from_numpy(np.asarray(output.label_ids)), training=False)
            output.metrics[f"{kwargs.get('metric_key_prefix', 'eval')}_loss"] = loss.item()
        return output

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

    def _get_eval_sampler(self, eval_dataset: Examples) -> Sampler[int] | None:
        return SequentialSampler(eval_dataset) if self.args.world_size <= 1 else None


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
        answers = scores.predictions_of(logits, is_regression=is_regression)
        return {name: scores.SCORES[name](np.asarray(prediction.label_ids), answers) for name in names}

    return compute
