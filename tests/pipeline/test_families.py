"""Encoders of other kinds than BERT, tiny and untrained, through every stage: tokens, positions, attention, heads."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import environment, run, tiny_project
from hard_texts import byte_pair, unigram, wordpiece
from stage_runner import Runner
from tokenizers import Tokenizer

from refit.storage import files

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
WITH_OWN_CODE = ("eurobert", "nomic_bert")  # on the hub their config names Python files, which are not run
STAGES = ("download", "download_model", "tokenize", "sample", "baseline", "train", "evaluate")


def saved(kind: str, folder: Path) -> Path:
    """A model of two layers with its kind's tokenizer, as on the hub."""
    import transformers as hf

    brackets = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    special = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"}
    match kind:
        case "roberta":  # its positions begin after the padding's id
            config, tokenizer = hf.RobertaConfig(**SMALL, max_position_embeddings=66), byte_pair("roberta")
        case "modernbert":
            config, tokenizer = hf.ModernBertConfig(**SMALL, max_position_embeddings=64), byte_pair("modernbert")
            config.bos_token_id, config.eos_token_id = config.cls_token_id, config.sep_token_id = 0, 1
            special = brackets
        case "eurobert":
            config, tokenizer = hf.EuroBertConfig(**SMALL, max_position_embeddings=64), byte_pair("modernbert")
            special = brackets
        case "nomic_bert":
            config, tokenizer = hf.NomicBertConfig(**SMALL), wordpiece("uncased", folder)
            special = {**brackets, "unk_token": "[UNK]"}
        case "deberta":
            config, tokenizer = hf.DebertaConfig(**SMALL, max_position_embeddings=64), byte_pair("roberta")
        case _:
            relative = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}
            config = hf.DebertaV2Config(**SMALL, **relative, max_position_embeddings=64, type_vocab_size=0)
            tokenizer = unigram()
    fast = hf.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_buffer(tokenizer), model_max_length=64,
        model_input_names=["input_ids", "attention_mask"], **special,
    )  # fmt: skip
    fast.save_pretrained(folder)
    config.vocab_size, config.pad_token_id = len(fast), fast.pad_token_id
    if kind in WITH_OWN_CODE:
        config.auto_map = {"AutoConfig": f"own--{kind}.Config", "AutoModel": f"own--{kind}.Model"}
    hf.AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "engine", "has_short_format"),
    [
        ("roberta", "gigatoken", True),
        ("modernbert", "gigatoken", True),
        ("deberta", "gigatoken", False),
        ("deberta-v2", "tokenizers", True),
        ("eurobert", "gigatoken", True),
        ("nomic_bert", "nanotoken", True),
    ],
)
def test_a_model_of_another_kind_is_fine_tuned(tmp_path: Path, kind: str, engine: str, has_short_format: bool) -> None:
    """Prevents a promise of any encoder that holds for BERT alone: tokens, positions or a head that cannot learn."""
    model = saved(kind, tmp_path / "model")
    folder = tiny_project(tmp_path / "project", model, precision="auto", epochs=5, max_length=64)
    Runner.run_all(folder, *STAGES, env=environment())
    speed = {stage: files.read_json(folder / f".refit/speed/{stage}.json") for stage in ("tokenize", "train")}
    assert speed["tokenize"]["engine"] == engine
    assert has_short_format or speed["train"]["number_format"] == "fp32"
    assert "auto_map" not in files.read_json(folder / "models/finetuned/config.json")
    accuracy = files.read_json(folder / "metrics/scores.json")["own/tiny"]["validation"]["accuracy"]
    assert accuracy >= 0.8  # an untrained model has 0.5
    run("python", "-m", "refit.predict", "--split", "validation", "--out", "out.parquet", cwd=folder)
    labels = files.read_json(folder / "data/raw/task.json")["labels"]
    actual = [labels[label] for label in pq.read_table(folder / "data/raw/validation.parquet")["label"].to_pylist()]
    predicted = pq.read_table(folder / "out.parquet")["label"].to_pylist()
    assert sum(map(str.__eq__, predicted, actual)) / len(actual) == pytest.approx(accuracy)
