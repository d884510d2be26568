"""What refit adds to the Trainer: its loss, class weights, an evaluation that changes nothing, and an end at NaN."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from made_runs import task_record
from sklearn.utils.class_weight import compute_class_weight
from test_arguments import chosen
from torch.nn.functional import cross_entropy
from transformers import EvalPrediction, TrainingArguments, set_seed

from refit.model import classifier
from refit.model.batching import Collator, Example, Examples
from refit.model.inference import Inference
from refit.storage.arrow import Rows, schema
from refit.training import trainer

TASK = task_record(labels=["negative", "positive", "neutral"])
COLLATE = Collator(pad_id=0, token_types=True)


def examples(count: int, *, seed: int = 0) -> Examples:
    """Examples of random tokens in memory, of three classes."""
    generator = np.random.default_rng(seed)
    ids = [generator.integers(5, 60, generator.integers(3, 20)).astype(np.int32) for _ in range(count)]
    columns = [ids, [row % 3 for row in range(count)], [len(row) for row in ids], range(count)]
    table = schema(pa.int64(), is_pair=False)
    return Examples(Rows.of_batches([pa.record_batch([pa.array(c) for c in columns], schema=table)]))


def make(
    base: Path, folder: Path, *, params: dict[str, object] | None = None, has_inference: bool = True, **changes: object
) -> trainer.ClassifierTrainer:
    """A trainer of the tiny model, with some params and some of the Trainer's arguments changed."""
    set_seed(1)
    model = classifier.new(base, TASK, "model")
    settings = {
        "output_dir": str(folder), "per_device_train_batch_size": 8, "num_train_epochs": 2, "report_to": "none",
        "disable_tqdm": True, "use_cpu": True, "save_strategy": "no", "logging_steps": 1, "learning_rate": 1e-3,
        "seed": 1, "remove_unused_columns": False, "logging_nan_inf_filter": False, **changes,
    }  # fmt: skip
    return trainer.ClassifierTrainer(
        model=model,
        args=TrainingArguments(**settings),
        train_dataset=examples(40),
        eval_dataset=examples(20, seed=1),
        data_collator=COLLATE,
        params=chosen(**params or {}),
        task=TASK,
        inference=Inference(model, COLLATE, 8, "fp32") if has_inference else None,
    )


def trained_weights(fitting: trainer.ClassifierTrainer) -> bytes:
    """All weights after training, as bytes."""
    fitting.train()
    return b"".join(value.numpy().tobytes() for _, value in sorted(fitting.model.state_dict().items()))


@pytest.mark.parametrize("cadence", [{"eval_strategy": "steps", "eval_steps": 3}, {"eval_strategy": "epoch"}])
def test_how_often_a_run_is_evaluated_does_not_change_its_weights(
    tiny_model: Path, tmp_path: Path, cadence: dict[str, object]
) -> None:
    """Prevents evaluation from advancing the generator that dropout draws from."""
    expected = trained_weights(make(tiny_model, tmp_path / "a"))
    assert trained_weights(make(tiny_model, tmp_path / "b", **cadence)) == expected


def test_validation_gives_the_scores_of_the_trainers_own_loop(tiny_model: Path, tmp_path: Path) -> None:
    """Prevents a validation score or loss that no other program would find."""
    found, expected = (
        make(tiny_model, tmp_path, has_inference=has, per_device_eval_batch_size=8).evaluate() for has in (True, False)
    )
    assert found["eval_accuracy"] == expected["eval_accuracy"]
    assert found["eval_loss"] == pytest.approx(expected["eval_loss"], rel=1e-5)


def test_validation_averages_the_windows_of_a_text_in_both_loops(tiny_model: Path, tmp_path: Path) -> None:
    """Prevents another epoch from being chosen on a GPU or by several processes, where the Trainer's own loop runs."""
    given = examples(20, seed=1).rows
    texts = np.repeat([4, 2, 9], [6, 1, 13])
    windows = Examples(replace(given, row=texts, label=texts % 3))
    fitting = [make(tiny_model, tmp_path, has_inference=has, per_device_eval_batch_size=8) for has in (True, False)]
    found, expected = (one.evaluate(windows) for one in fitting)
    assert found["eval_loss"] == pytest.approx(expected["eval_loss"], rel=1e-5)
    assert found["eval_accuracy"] == expected["eval_accuracy"]
    assert expected["eval_accuracy"] in [0, 1 / 3, 2 / 3, 1]
    logits = np.concatenate([fitting[0].model(**unlabelled([windows[i]])).logits.detach().numpy() for i in range(20)])
    mean = torch.from_numpy(np.stack([logits[texts == text].mean(axis=0) for text in (4, 2, 9)]))
    assert found["eval_loss"] == pytest.approx(cross_entropy(mean, torch.tensor([1, 2, 0])).item(), rel=1e-5)


def unlabelled(batch: list[Example]) -> dict[str, torch.Tensor]:
    """The tensors of a batch that a model's forward takes."""
    return {name: value for name, value in COLLATE(batch).items() if name != "labels"}


def test_the_training_loss_is_weighted_and_smoothed_and_the_validation_loss_is_not(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Prevents validation losses that cannot be compared between runs with different weights."""
    fitting = make(tiny_model, tmp_path, params={"label_smoothing": 0.1, "class_weights": "balanced"})
    assert fitting.class_weights.tolist() == pytest.approx([40 / 3 / 14, 40 / 3 / 13, 40 / 3 / 13])
    fitting.class_weights = weights = torch.tensor([1.0, 5.0, 0.5])
    batch = COLLATE([examples(9)[i] for i in range(9)])
    for module in fitting.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    logits = fitting.model(**{name: value for name, value in batch.items() if name != "labels"}).logits
    weighted = cross_entropy(logits, batch["labels"], weight=weights, label_smoothing=0.1)
    assert torch.allclose(fitting.compute_loss(fitting.model.train(), batch), weighted)
    plain = cross_entropy(logits, batch["labels"])
    assert torch.allclose(fitting.compute_loss(fitting.model.eval(), batch), plain)
    assert not torch.allclose(plain, weighted)


def test_accumulated_batches_train_as_one_large_batch(tiny_model: Path, tmp_path: Path) -> None:
    """Prevents gradient accumulation from multiplying the learning rate."""
    losses = []
    for changes in ({}, {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}):
        fitting = make(tiny_model, tmp_path, params={"sampling": "random"}, **changes)
        for module in fitting.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        fitting.train()
        losses.append([entry["loss"] for entry in fitting.state.log_history if "loss" in entry])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_balanced_weights_are_those_of_scikit_learn_and_sqrt_is_half_way() -> None:
    """Prevents another meaning of a well-known word, and weights that are not between none and balanced."""
    labels = np.array([0, 0, 0, 1, 1, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert trainer.class_weights("balanced", labels, ["a", "b", "c"]).tolist() == pytest.approx(expected.tolist())
    assert trainer.class_weights("sqrt", labels, ["a", "b", "c"]).tolist() == pytest.approx(np.sqrt(expected).tolist())
    assert trainer.class_weights("balanced", labels, ["a", "b", "c", "d"])[3] == 1.0, "a class without examples"


def test_balanced_weights_of_several_labels_make_both_sides_equal() -> None:
    """Prevents weights that a rare label of a multi-label task does not get."""
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0]])
    assert trainer.class_weights("balanced", labels, ["a", "b", "c"]).tolist() == pytest.approx([1 / 3, 3.0, 1.0])


def test_given_weights_are_used_by_name() -> None:
    """Prevents weights of the wrong class; a label that is a number in YAML is meant by its name."""
    found = trainer.class_weights({"spam": 5, 1: 0.5}, np.array([0, 1]), ["1", "ham", "spam"])
    assert found.tolist() == [0.5, 1.0, 5.0]


def test_the_best_threshold_is_saved_with_the_model(tiny_model: Path, tmp_path: Path) -> None:
    """Prevents a threshold that the scores of training use and no later stage knows."""
    fitting = make(tiny_model, tmp_path, params={"threshold": "best"})
    fitting.task = task_record(labels=["no", "yes"], scores=["f1"], best_score="f1")
    logits = np.array([[0, -3], [0, -2], [0, -1.0], [0, 1]], dtype=np.float32)
    measured = fitting._scores(EvalPrediction(predictions=logits, label_ids=np.array([0, 0, 1, 1])))
    fitting.save_model(str(tmp_path / "saved"))
    (threshold,) = json.loads((tmp_path / "saved/config.json").read_text())["thresholds"].values()
    assert 1 / (1 + np.exp(2)) < threshold < 1 / (1 + np.exp(1))
    assert measured == {"f1": 1.0}
