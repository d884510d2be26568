"""The choice of the engine by what a model's tokenizer is, and the length that its model can take."""

import shutil
from pathlib import Path

import pytest
from hard_texts import HARD, byte_pair
from tokenizers import Tokenizer, models, pre_tokenizers

from refit.errors import ParamsError
from refit.tokenization import engines


def test_the_saved_tokenizer_is_the_one_that_transformers_loads(tiny_model: Path) -> None:
    """Prevents the tokenizer that users load with the model from being another than the one it was trained with."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    engine, _ = engines.load(tiny_model, 16)
    texts = [text for text in HARD if text]
    own = tokenizer(texts, truncation=True, max_length=16)["input_ids"]
    encoded = engine.encode(texts, None)
    assert [encoded.ids[a:b].tolist() for a, b in zip(encoded.offsets, encoded.offsets[1:], strict=False)] == own


def test_a_length_beyond_the_models_limit_is_refused(tiny_model: Path) -> None:
    """Prevents an index error deep in the first training step."""
    with pytest.raises(ParamsError, match="max_length: got 65, need at most 64"):
        engines.load(tiny_model, 65)


@pytest.mark.parametrize(
    ("kind", "name"), [("wordpiece", "nanotoken"), ("roberta", "gigatoken"), ("modernbert", "gigatoken")]
)
def test_the_fast_engine_is_taken_where_there_is_one(tmp_path: Path, tiny_model: Path, kind: str, name: str) -> None:
    """Prevents hours of tokenizing where minutes do."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    if kind != "wordpiece":
        (folder / "tokenizer.json").write_bytes(byte_pair(kind))
    engine, reference = engines.load(folder, 12)
    assert engine.name == name
    assert engine.encode(["a good film"], ["bad"]).equals(reference.encode(["a good film"], ["bad"]))


@pytest.mark.parametrize(
    "model",
    [
        models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]),  # not of bytes
        models.Unigram([("a", -1.0), ("b", -2.0)], 0),
        models.WordLevel({"a": 0}, unk_token="a"),
        models.WordPiece({"a": 0, "[UNK]": 1}, unk_token="[UNK]"),  # with a pre-tokenizer that nanotoken lacks
    ],
)
def test_every_other_tokenizer_is_its_own_engine(tmp_path: Path, tiny_model: Path, model: models.Model) -> None:
    """Prevents a model from being refused because no fast engine takes its tokenizer."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.save(str(folder / "tokenizer.json"))
    engine, reference = engines.load(folder, 12)
    assert engine is reference
