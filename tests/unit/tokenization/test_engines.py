"""The choice of the engine, the parity of the fast ones with the model's own tokenizer, and the length limit."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hard_texts import ANY_TEXT, BYTE_PAIR, HARD, WORDPIECE, byte_pair, wordpiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from refit.errors import ParamsError
from refit.tokenization import engines
from refit.tokenization.hf_tokenizer import Reference

Pair = tuple[engines.FastEngine, Reference]


@pytest.fixture(scope="module", params=[*WORDPIECE, *BYTE_PAIR])
def load(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Pair]:
    """A function that gives the fast engine and the reference of each kind of tokenizer, for a max_length."""
    is_wordpiece = request.param in WORDPIECE
    tokenizer_json = (
        wordpiece(request.param, tmp_path_factory.mktemp("model")) if is_wordpiece else byte_pair(request.param)
    )

    def engine(max_length: int) -> Pair:
        reference = Reference(tokenizer_json, max_length)
        fast = engines.fastest(tokenizer_json, reference)
        assert isinstance(fast, engines.FastEngine)
        return fast, reference

    return engine


@settings(max_examples=60)
@given(texts=st.lists(ANY_TEXT, min_size=1, max_size=8), max_length=st.integers(5, 40))
def test_single_texts_have_the_same_ids(load: Callable[[int], Pair], texts: list[str], max_length: int) -> None:
    """Prevents a model from being trained on other tokens than it was pretrained on."""
    engine, reference = load(max_length)
    assert engine.encode(texts, None).equals(reference.encode(texts, None))


@settings(max_examples=100)
@given(pairs=st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=8), max_length=st.integers(6, 40))
def test_pairs_have_the_same_ids(load: Callable[[int], Pair], pairs: list[tuple[str, str]], max_length: int) -> None:
    """Prevents pairs that are truncated, joined or typed differently from `truncation=True`."""
    first, second = [list(side) for side in zip(*pairs, strict=True)]
    engine, reference = load(max_length)
    assert engine.encode(first, second).equals(reference.encode(first, second))


def test_the_saved_tokenizer_is_the_one_that_transformers_loads(tiny_model: Path) -> None:
    """Prevents users from loading another tokenizer with the model than it was trained with."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    engine, _ = engines.load(tiny_model, 16)
    texts = [text for text in HARD if text]
    own = tokenizer(texts, truncation=True, max_length=16)["input_ids"]
    encoded = engine.encode(texts, None)
    assert [encoded.ids[a:b].tolist() for a, b in zip(encoded.offsets, encoded.offsets[1:], strict=False)] == own


def test_a_max_length_above_the_models_limit_is_refused(tiny_model: Path) -> None:
    """Prevents an index error deep in the first training step."""
    with pytest.raises(ParamsError, match="max_length: got 65, need at most 64"):
        engines.load(tiny_model, 65)


@pytest.mark.parametrize(
    ("kind", "name"), [("wordpiece", "nanotoken"), ("roberta", "gigatoken"), ("modernbert", "gigatoken")]
)
def test_the_fast_engine_is_chosen_if_there_is_one(tmp_path: Path, tiny_model: Path, kind: str, name: str) -> None:
    """Prevents hours of tokenizing where minutes suffice."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    if kind != "wordpiece":
        (folder / "tokenizer.json").write_bytes(byte_pair(kind))
    engine, _ = engines.load(folder, 12)
    assert engine.name == name


@pytest.mark.parametrize(
    "model",
    [
        models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]),  # not of bytes
        models.Unigram([("a", -1.0), ("b", -2.0)], 0),
        models.WordLevel({"a": 0}, unk_token="a"),
        models.WordPiece({"a": 0, "[UNK]": 1}, unk_token="[UNK]"),  # with a pre-tokenizer that nanotoken lacks
    ],
)
def test_other_tokenizers_are_encoded_by_the_reference(tmp_path: Path, tiny_model: Path, model: models.Model) -> None:
    """Prevents a model from being refused because no fast engine supports its tokenizer."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.save(str(folder / "tokenizer.json"))
    engine, reference = engines.load(folder, 12)
    assert engine is reference
