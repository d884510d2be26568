"""Answers of a model: in the rows' order, the same however many threads make them."""

import copy
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tqdm import tqdm
from transformers import BertConfig, BertForSequenceClassification

from refit.model import inference
from refit.model.answers import Values
from refit.model.batching import Collator
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
    """Rows of 1 to 20 tokens, in no order."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 21, ROWS)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    encoded = Encoded(generator.integers(1, 40, offsets[-1]).astype(np.int32), offsets, None)
    columns = tokenization.schema(is_pair=False, is_regression=False)
    return Rows([tokenization.record_batch(encoded, pa.array(np.zeros(ROWS, np.int64)), 0, columns)])


@pytest.fixture(autouse=True)
def threads_of_other_tests() -> Iterator[None]:
    """Prevents this module from changing the number for the rest of the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def answers(model: BertForSequenceClassification, rows: Rows, threads: int, bar: "type[tqdm[Any]]" = tqdm) -> Values:
    torch.set_num_threads(threads)
    return answering(model).answers(rows, bar(disable=True))


def answering(model: BertForSequenceClassification) -> inference.Inference:
    return inference.Inference(model, Collator(pad_id=0, token_types=False), BATCH, "fp32")


def test_every_row_has_its_own_answer(model: BertForSequenceClassification, rows: Rows) -> None:
    """Prevents answers in the order in which they were computed."""
    found = answers(model, rows, threads=2)
    for row in (0, 7, ROWS - 1):
        with torch.inference_mode():
            alone = model(input_ids=torch.from_numpy(rows.ids(row).astype(np.int64))[None]).logits
        assert found[row] == pytest.approx(alone[0].numpy(), abs=1e-5)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_the_number_of_threads_changes_no_bit(model: BertForSequenceClassification, rows: Rows, threads: int) -> None:
    """Prevents scores that differ between machines with more and fewer cores, where each batch has one thread."""
    assert np.array_equal(answers(model, rows, threads), answers(model, rows, 1))


def test_the_threads_are_given_back(model: BertForSequenceClassification, rows: Rows) -> None:
    """Prevents whatever comes afterwards from running on one thread."""
    answers(model, rows, threads=2)
    assert torch.get_num_threads() == 2


def test_no_rows_have_no_answers(model: BertForSequenceClassification, rows: Rows) -> None:
    """Prevents a failure on a file without rows."""
    assert answers(model, rows.take(np.array([], dtype=np.int64)), threads=2).shape == (0, 3)


def test_who_asks_to_stop_does_not_wait_for_every_batch(model: BertForSequenceClassification, rows: Rows) -> None:
    """Prevents Ctrl-C from taking as long as all the rest."""
    computed = []

    def slowly(*_: Any) -> None:
        computed.append(1)
        time.sleep(0.05)

    handle = model.register_forward_pre_hook(slowly)

    class Interrupted(tqdm):  # type: ignore[type-arg]
        def update(self, n: float | None = 1) -> None:
            """Somebody presses Ctrl-C after the first batch."""
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answers(model, rows, threads=2, bar=Interrupted)
    handle.remove()
    assert len(computed) < ROWS // BATCH


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_known_answers_hold_until_the_weights_are_others(
    model: BertForSequenceClassification, rows: Rows, threads: int
) -> None:
    """Prevents both: scoring the same rows twice, and the scores of other weights."""
    known = answers(model, rows, threads)
    assert answering(model).holds(known, rows)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.classifier.bias[0] += 1e-4
    assert not answering(other).holds(known, rows)


def test_answers_of_other_rows_do_not_hold(model: BertForSequenceClassification, rows: Rows) -> None:
    """Prevents a model's answers from being taken for those to fewer rows, or to rows in another order."""
    known = answers(model, rows, threads=2)
    assert not answering(model).holds(known, rows.take(np.arange(ROWS - 1)))
    assert not answering(model).holds(known, rows.take(np.arange(ROWS)[::-1]))
    assert not answering(model).holds(np.empty((0, 0), np.float32), rows)


def test_few_of_the_batches_are_computed_to_tell_whether_answers_hold(
    model: BertForSequenceClassification, rows: Rows
) -> None:
    """Prevents a check that takes as long as what it saves, and one that looks at nothing."""
    known = answers(model, rows, threads=2)
    computed = []
    handle = model.register_forward_pre_hook(lambda *_: computed.append(1))
    assert answering(model).holds(known, rows)
    handle.remove()
    assert len(computed) == 2  # of 13
