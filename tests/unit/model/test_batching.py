"""Batches: the tensors that the model gets, and the order of the rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from refit.model import classifier, device
from refit.model.batching import Collator, LengthGroupedSampler

Lengths = st.lists(st.integers(1, 50), min_size=1, max_size=400).map(np.array)


@given(Lengths, st.integers(1, 20), st.integers(0, 5), st.integers(0, 3))
def test_every_row_is_drawn_once_per_epoch(lengths: np.ndarray, batch: int, seed: int, epoch: int) -> None:
    """Prevents rows from being skipped or repeated."""
    sampler = LengthGroupedSampler(lengths, batch, seed)
    sampler.set_epoch(epoch)
    assert sorted(sampler) == list(range(len(lengths)))


def test_the_order_depends_only_on_seed_and_epoch() -> None:
    """Prevents a resumed run from getting different batches, and every epoch from getting the same."""
    lengths = np.random.default_rng(0).integers(1, 100, 500)

    def order(seed: int, epoch: int) -> list[int]:
        sampler = LengthGroupedSampler(lengths, 16, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_batches_have_little_padding_and_are_shuffled() -> None:
    """Prevents wasted tokens, and batches ordered by length."""
    lengths = np.random.default_rng(0).integers(1, 200, 3200)
    order = np.array(list(LengthGroupedSampler(lengths, 16, 0)))
    batches = lengths[order].reshape(-1, 16)
    assert batches.sum() / (batches.max(axis=1) * 16).sum() > 0.9
    assert abs(np.corrcoef(np.arange(len(batches)), batches.mean(axis=1))[0, 1]) < 0.2


def example(length: int, label: float = 0, first: int | None = None) -> tuple[np.ndarray, np.generic, int]:
    """An example of `length` tokens, of which `first` have token type 0."""
    ids = np.arange(1, length + 1, dtype=np.int32)
    return ids, np.int64(label) if isinstance(label, int) else np.float32(label), length if first is None else first


def test_a_batch_is_padded_to_its_longest_row() -> None:
    """Prevents padding from being attended to, or counted as text."""
    batch = Collator(pad_id=9, token_types=True)([example(3, 1, first=2), example(1, 0)])
    assert batch["input_ids"].tolist() == [[1, 2, 3], [1, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 1], [0, 0, 0]]
    assert batch["labels"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("width", "kind", "expected"), [("longest", "cuda", 8), ("longest", "cpu", 3), (12, "cpu", 12)]
)
def test_the_width_follows_padding_and_device(
    tiny_model: Path, width: Any, kind: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents `padding: max_length` from being ignored, and widths that a GPU's tensor cores cannot use."""
    monkeypatch.setattr(device, "device", lambda: torch.device(kind))
    batch = classifier.collator(tiny_model, width)([example(3)])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == batch["token_type_ids"].shape == (1, expected)


def test_token_types_are_left_out_where_the_model_takes_none() -> None:
    """Prevents a failure in models without token types."""
    assert "token_type_ids" not in Collator(pad_id=0, token_types=False)([example(3)])


def test_values_to_predict_stay_floats() -> None:
    """Prevents a regression from being trained on rounded values."""
    batch = Collator(pad_id=0, token_types=False)([example(2, 0.5), example(2, 1.25)])
    assert batch["labels"].tolist() == [0.5, 1.25]
