"""The Trainer's parts that are ours: loss, class weights, and evaluation that leaves no trace."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_runs import task_record
from sklearn.utils.class_weight import compute_class_weight
from transformers import TrainingArguments, set_seed

from refit.errors import TrainingDivergedError
from refit.model import classifier
from refit.model.batching import Collator, Examples
from refit.model.inference import Inference
from refit.storage.arrow import Rows
from refit.training import trainer

TASK = task_record(labels=["negative", "positive", "neutral"])


def rows(count: int = 40, *, seed: int = 0) -> Rows:
    """Rows of random tokens in memory."""
    import pyarrow as pa

    generator = np.random.default_rng(seed)
    ids = [generator.integers(5, 60, generator.integers(3, 20)).astype(np.int32) for _ in range(count)]
    batch = pa.record_batch(
        {
            "input_ids": pa.array(ids, pa.list_(pa.int32())),
            "label": pa.array([i % 3 for i in range(count)], pa.int64()),
            "length": pa.array([len(row) for row in ids], pa.int32()),
            "row": pa.array(range(count), pa.int32()),
        }
    )
    return Rows.of_batches([batch])


def make(
    base: Path, folder: Path, *, smoothing: float = 0.0, weights: torch.Tensor | None = None, alone: bool = True,
    **changes: object,
) -> trainer.ClassifierTrainer:  # fmt: skip
    """A trainer of the tiny model."""
    set_seed(1)
    model, collate = classifier.new(base, TASK, "model"), Collator(pad_id=0, token_types=True)
    settings = {"per_device_train_batch_size": 8, "num_train_epochs": 2, "report_to": "none", "disable_tqdm": True}
    settings |= {"use_cpu": True, "save_strategy": "no", "logging_steps": 1, "learning_rate": 1e-3, "seed": 1}
    return trainer.ClassifierTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder), remove_unused_columns=False, logging_nan_inf_filter=False, **{**settings, **changes}
        ),
        train_dataset=Examples(rows()),
        eval_dataset=Examples(rows(20, seed=1)),
        data_collator=collate,
        compute_metrics=trainer.score_function(["accuracy"], is_regression=False),
        class_weights=weights,
        label_smoothing=smoothing,
        grouped=True,
        inference=Inference(model, collate, 8, "fp32") if alone else None,
    )


def weights_of(fitting: trainer.ClassifierTrainer) -> bytes:
    """All the weights as bytes."""
    return b"".join(value.numpy().tobytes() for _, value in sorted(fitting.model.state_dict().items()))


@pytest.mark.parametrize("cadence", [{"eval_strategy": "steps", "eval_steps": 3}, {"eval_strategy": "epoch"}])
def test_how_often_we_look_does_not_change_the_weights(tiny_model: Path, tmp_path: Path, cadence: dict) -> None:
    """Prevents evaluation from moving the random numbers of dropout."""
    blind = make(tiny_model, tmp_path / "a")
    blind.train()
    looking = make(tiny_model, tmp_path / "b", **cadence)
    looking.train()
    assert weights_of(blind) == weights_of(looking)


def test_validation_answers_as_the_trainers_own_loop_does(tiny_model: Path, tmp_path: Path) -> None:
    """Prevents a validation score and loss of our own that differ from everybody's."""
    ours, theirs = (
        make(tiny_model, tmp_path, alone=alone, per_device_eval_batch_size=8).evaluate() for alone in (True, False)
    )
    assert ours["eval_accuracy"] == theirs["eval_accuracy"]
    assert ours["eval_loss"] == pytest.approx(theirs["eval_loss"], rel=1e-5)


def test_the_training_loss_is_weighted_and_smoothed_and_the_validation_loss_is_not(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Prevents validation losses that cannot be compared between runs with other weights."""
    weights = torch.tensor([1.0, 5.0, 0.5])
    fitting = make(tiny_model, tmp_path, smoothing=0.1, weights=weights)
    batch = Collator(pad_id=0, token_types=True)([Examples(rows())[i] for i in range(9)])
    fitting.model.eval()
    logits = fitting.model(**{name: value for name, value in batch.items() if name != "labels"}).logits
    plain = torch.nn.functional.cross_entropy(logits, batch["labels"])
    assert torch.equal(fitting.compute_loss(fitting.model, batch), plain)
    weighted = torch.nn.functional.cross_entropy(logits, batch["labels"], weight=weights, label_smoothing=0.1)
    assert torch.equal(fitting._loss(logits, batch["labels"], training=True), weighted)
    assert not torch.equal(plain, weighted)


def test_accumulated_batches_train_as_one_large_batch(tiny_model: Path, tmp_path: Path) -> None:
    """Prevents gradient accumulation from multiplying the learning rate."""
    model = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    losses = []
    for settings in ({}, model):
        fitting = make(tiny_model, tmp_path, **settings)
        fitting.model.config.hidden_dropout_prob = 0.0
        for module in fitting.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        fitting.grouped = False
        fitting.train()
        losses.append([entry["loss"] for entry in fitting.state.log_history if "loss" in entry])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_balanced_weights_are_scikit_learns() -> None:
    """Prevents another meaning of a well-known word."""
    labels = np.array([0, 0, 0, 1, 1, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert trainer.balanced_weights(labels, 3).tolist() == pytest.approx(expected.tolist())
    assert trainer.balanced_weights(labels, 4)[3] == 1.0


def test_training_stops_at_the_first_loss_that_is_no_number(tiny_model: Path, tmp_path: Path) -> None:
    """Prevents a model of NaN that is saved with a loss of 0."""
    fitting = make(tiny_model, tmp_path)
    with torch.no_grad():
        fitting.model.classifier.weight.fill_(float("inf"))
    with pytest.raises(TrainingDivergedError, match="training diverged at step 1: the loss is nan"):
        fitting.train()
