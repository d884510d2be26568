"""Texts on which tokenizers differ, and tokenizers of each kind to try them with."""

from pathlib import Path

from conftest import BAD, GOOD, OTHER, make_model
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HARD = [
    "", " ", "\t\n", "a", "good " * 200, "é", "e\u0301", "ﬁne ﬀ", "İstanbul ς Σ", "中文 字符，好。", "한국어 テスト",
    "👩‍👩‍👧 🇩🇪 ☺️",
    "a\u200bb\u200dc\ufeff", "[CLS] good [SEP] [MASK] [PAD]", "<s> good </s><mask>", "x" * 150, "don't—stop…",
    "\u202egood\u202c", "\x00\x07bad", "\ufffd\ud7ff", "good\u00a0\u3000bad", "good  bad   a \n\n b", "ＡＢＣ１２３",
    "ǅ ß ẞ", "नमस्ते", "שלום", "مرحبا",
]  # fmt: skip
ANY_TEXT = st.one_of(
    st.sampled_from(HARD),
    st.text(max_size=60),
    st.lists(st.sampled_from([*GOOD, *BAD, *OTHER, "unseen", "!", "中"]), max_size=30).map(" ".join),
)
WORDPIECE = ("uncased", "cased", "chinese")
BYTE_PAIR = ("roberta", "modernbert")


def wordpiece(kind: str, folder: Path) -> bytes:
    """The tokenizer.json of a WordPiece tokenizer of each kind that BERT has."""
    words = GOOD + BAD + OTHER
    if kind == "cased":
        words += tuple(word.title() for word in words)
    if kind == "chinese":
        words += tuple("中文字符好测试的一是不了人我在有他这") + tuple(f"##{c}" for c in "中文字")
    tokenizer = Tokenizer.from_file(str(make_model(folder, words=words) / "tokenizer.json"))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, lowercase=kind == "uncased"
    )
    return str(tokenizer.to_str()).encode()


def byte_pair(kind: str) -> bytes:
    """The tokenizer.json of a byte-level BPE tokenizer as RoBERTa or ModernBERT has it, trained on a few words."""
    begin, end, *others = ("<s>", "</s>", "<pad>") if kind == "roberta" else ("[CLS]", "[SEP]", "[PAD]")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=[begin, end, *others], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator([" ".join(GOOD + BAD + OTHER), "中文 é don't"] * 20, trainer)
    if kind == "roberta":
        tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
        tokenizer.post_processor = processors.RobertaProcessing((end, 1), (begin, 0))
    else:
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A {end}", pair=f"{begin} $A {end} $B:1 {end}:1", special_tokens=[(begin, 0), (end, 1)]
        )
    return str(tokenizer.to_str()).encode()


def unigram() -> bytes:
    """The tokenizer.json of a SentencePiece Unigram tokenizer as DeBERTa v3 has it, trained on a few words."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator([" ".join(GOOD + BAD + OTHER), "abcdefghijklmnopqrstuvwxyz"] * 20, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return str(tokenizer.to_str()).encode()
