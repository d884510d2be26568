"""BPE: large batches are encoded in several small matrices."""

import numpy as np
import pytest
from hard_texts import BYTE_PAIR, byte_pair

from refit.tokenization import byte_pair as module
from refit.tokenization.byte_pair import BytePair
from refit.tokenization.hf_tokenizer import Reference


@pytest.mark.parametrize("kind", BYTE_PAIR)
def test_a_batch_is_split_into_small_matrices(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents lost rows where a batch is split so that one long text does not widen all of it."""
    reference = Reference(byte_pair(kind), 16)
    engine = BytePair(byte_pair(kind), reference)
    texts = ["a good film " * number for number in range(25)]
    expected = engine.encode(texts, None)
    monkeypatch.setattr(module, "MATRIX_IDS", 16 * 7)
    assert engine.encode(texts, None).equals(expected)
    assert np.array_equal(expected.lengths, reference.encode(texts, None).lengths)
    assert len(engine.encode([], None)) == 0
