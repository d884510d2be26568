"""Token ids: the fast engine and the model's own tokenizer agree on whatever text there is."""

from pathlib import Path

import numpy as np
import pytest
from conftest import BAD, GOOD, OTHER, make_model
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers

from refit.errors import ParamsError
from refit.tokens import encode

HARD = [
    "", " ", "\t\n", "a", "good " * 200, "é", "e\u0301", "ﬁne ﬀ", "İstanbul ς Σ", "中文 字符，好。", "한국어 テスト",
    "👩‍👩‍👧 🇩🇪 ☺️",
    "a\u200bb\u200dc\ufeff", "[CLS] good [SEP] [MASK] [PAD]", "x" * 150, "don't—stop…", "\u202egood\u202c",
    "\x00\x07bad", "\ufffd\ud7ff", "good\u00a0\u3000bad", "ＡＢＣ１２３", "ǅ ß ẞ", "नमस्ते", "שלום", "مرحبا",
]  # fmt: skip
ANY_TEXT = st.one_of(
    st.sampled_from(HARD),
    st.text(max_size=60),
    st.lists(st.sampled_from([*GOOD, *BAD, *OTHER, "unseen", "!", "中"]), max_size=30).map(" ".join),
)


@pytest.fixture(scope="module", params=["uncased", "cased", "chinese"])
def tokenizer_json(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A WordPiece tokenizer of each kind that BERT has."""
    words = GOOD + BAD + OTHER
    if request.param == "cased":
        words += tuple(word.title() for word in words)
    if request.param == "chinese":
        words += tuple("中文字符好测试的一是不了人我在有他这") + tuple(f"##{c}" for c in "中文字")
    folder = make_model(tmp_path_factory.mktemp(request.param), words=words)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, lowercase=request.param == "uncased"
    )
    return str(tokenizer.to_str())


@settings(max_examples=60)
@given(texts=st.lists(ANY_TEXT, min_size=1, max_size=8), max_length=st.integers(4, 40))
def test_single_texts_are_encoded_alike(tokenizer_json: str, texts: list[str], max_length: int) -> None:
    """Prevents a model from being trained on other tokens than it was pretrained on."""
    reference = encode.Reference(tokenizer_json, max_length)
    fast = encode.WordPiece(tokenizer_json, max_length)
    assert fast.encode(texts, None).equals(reference.encode(texts, None))


@settings(max_examples=100)
@given(pairs=st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=8), max_length=st.integers(4, 40))
def test_pairs_are_encoded_alike(tokenizer_json: str, pairs: list[tuple[str, str]], max_length: int) -> None:
    """Prevents a pair from being cut, joined or typed in another way than `truncation=True` does it."""
    first, second = [list(side) for side in zip(*pairs, strict=True)]
    reference = encode.Reference(tokenizer_json, max_length).encode(first, second)
    fast = encode.WordPiece(tokenizer_json, max_length).encode(first, second)
    assert fast.equals(reference)
    assert fast.lengths.max() <= max_length


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 40))
def test_the_longer_text_of_a_pair_gives(first: int, second: int, budget: int) -> None:
    """Prevents a truncation that takes too much, or from the shorter text first."""
    keep_first, keep_second = (int(k[0]) for k in encode.longest_first(np.array([first]), np.array([second]), budget))
    assert keep_first + keep_second == min(first + second, budget)
    if first + second > budget and min(first, second) <= budget // 2:
        assert min(keep_first, keep_second) == min(first, second)


def test_the_saved_tokenizer_is_the_one_that_transformers_loads(tiny_model: Path) -> None:
    """Prevents the tokenizer that users load with the model from being another than the one it was trained with."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    engine, _ = encode.load(tiny_model, 16)
    texts = [text for text in HARD if text]
    own = tokenizer(texts, truncation=True, max_length=16)["input_ids"]
    encoded = engine().encode(texts, None)
    assert [encoded.ids[a:b].tolist() for a, b in zip(encoded.offsets, encoded.offsets[1:], strict=False)] == own


def test_a_length_beyond_the_models_limit_is_refused(tiny_model: Path) -> None:
    """Prevents an index error deep in the first training step."""
    with pytest.raises(ParamsError, match="max_length: got 65, need at most 64"):
        encode.load(tiny_model, 65)


def test_a_tokenizer_that_is_not_wordpiece_is_encoded_by_its_own(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents BPE models from being refused or encoded wrongly."""
    import json
    import shutil

    from tokenizers import models, pre_tokenizers, processors

    folder = shutil.copytree(tiny_model, tmp_path / "bpe")
    letters = "abcdefghijklmnopqrstuvwxyzĠ"
    vocabulary = {token: index for index, token in enumerate(["<s>", "</s>", *letters, "go", "od"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("g", "o"), ("o", "d")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    engine, reference = encode.load(folder, 12)
    assert engine() is reference
    pair = reference.encode(["good"], ["go"])
    assert pair.first_lengths is not None
    assert pair.first_lengths[0] == len(pair.ids), json.dumps(pair.ids.tolist())
