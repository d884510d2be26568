"""Logits: in the order of the rows, and the same for any number of threads."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from tqdm import tqdm
from transformers import BertConfig, BertForSequenceClassification

from refit.model.batching import Collator
from refit.model.inference import Inference, Values
from refit.storage.arrow import Rows
from refit.tokenization import tokenization
from refit.tokenization.token_batch import Encoded

ROWS, BATCH = 50, 4


@pytest.fixture(scope="module")
def model() -> BertForSequenceClassification:
    """A tiny encoder with a head for three labels."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, num_labels=3
    )
    return BertForSequenceClassification(config)


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Rows of 1 to 20 tokens, in random order."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 21, ROWS)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    encoded = Encoded(generator.integers(1, 40, offsets[-1]).astype(np.int32), offsets, None)
    return tokenization.rows_of(encoded, np.arange(ROWS))


@pytest.fixture(autouse=True)
def threads_of_other_tests() -> Iterator[None]:
    """Restore the number of threads after each test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def logits(model: BertForSequenceClassification, rows: Rows, threads: int, bar: Any = None) -> Values:
    """The logits, computed with a number of threads."""
    torch.set_num_threads(threads)
    return Inference(model, Collator(pad_id=0, token_types=False), BATCH, "fp32").logits(
        rows, bar or tqdm(disable=True)
    )


def test_every_row_gets_its_own_logits(model: BertForSequenceClassification, rows: Rows) -> None:
    """Prevents logits in the order in which they were computed."""
    found = logits(model, rows, threads=2)
    for row in (0, 7, ROWS - 1):
        with torch.inference_mode():
            alone = model(input_ids=torch.from_numpy(rows.ids(row).astype(np.int64))[None]).logits
        assert found[row] == pytest.approx(alone[0].numpy(), abs=1e-5)


def test_the_logits_of_a_text_are_the_mean_over_its_windows(model: BertForSequenceClassification, rows: Rows) -> None:
    """Prevents windows that are scored as examples of their own, or averaged with those of another text."""
    texts = np.repeat([7, 3, 9, 4], [1, 20, 4, 25])  # as after sample: in any order, the windows of a text adjacent
    progress = Mock()
    found = logits(model, replace(rows, row=texts), threads=2, bar=progress)
    alone = logits(model, rows, threads=2)
    expected = [alone[texts == text].mean(axis=0, dtype=np.float64) for text in (7, 3, 9, 4)]
    assert found == pytest.approx(np.array(expected), abs=1e-6)
    assert sum(call.args[0] for call in progress.update.call_args_list) == 4


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_the_number_of_threads_changes_no_bit(model: BertForSequenceClassification, rows: Rows, threads: int) -> None:
    """Prevents scores that differ between machines with more and fewer cores, each batch has one thread."""
    found = logits(model, rows, threads)
    assert torch.get_num_threads() == threads
    assert np.array_equal(found, logits(model, rows, 1))


def test_ctrl_c_does_not_wait_for_every_batch(model: BertForSequenceClassification, rows: Rows) -> None:
    """Prevents Ctrl-C from taking as long as all remaining batches."""
    computed = []

    def slowly(*_: Any) -> None:
        computed.append(1)
        time.sleep(0.05)

    handle = model.register_forward_pre_hook(slowly)

    with pytest.raises(KeyboardInterrupt):
        logits(model, rows, threads=2, bar=Mock(update=Mock(side_effect=KeyboardInterrupt)))
    handle.remove()
    assert len(computed) < ROWS // BATCH
