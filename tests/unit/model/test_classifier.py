"""The model: its labels, problem type, dropout and head."""

from pathlib import Path

import pytest
import torch
from made_runs import task_record
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from refit.errors import DataError
from refit.model import classifier

TASK = task_record()


@pytest.mark.parametrize(("rate", "expected"), [("model", 0.1), (0.0, 0.0), (0.25, 0.25)])
def test_attention_dropout_is_what_params_say(tiny_model: Path, rate: float | str, expected: float) -> None:
    """Prevents a param without effect."""
    model = classifier.new(tiny_model, TASK, rate)  # type: ignore[arg-type]
    assert model.config.attention_probs_dropout_prob == expected
    assert model.bert.encoder.layer[0].attention.self.dropout.p == expected


def test_the_head_depends_only_on_the_seed(tiny_model: Path) -> None:
    """Prevents a head that differs from run to run."""
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        heads.append(classifier.new(tiny_model, TASK, "model").classifier.weight.detach())
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


@pytest.mark.parametrize("weights", [None, b"damaged"])
def test_a_missing_or_damaged_model_is_one_line(weights: bytes | None, tmp_path: Path, tiny_model: Path) -> None:
    """Prevents a traceback."""
    (tmp_path / "config.json").write_text((tiny_model / "config.json").read_text())
    if weights:
        (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(DataError, match="the model cannot be loaded"):
        classifier.finetuned(tmp_path)


def test_a_loaded_model_gives_the_logits_of_the_saved_one(tmp_path: Path) -> None:
    """Prevents logits that depend on the length of the file's header, which decides how mapped weights are aligned."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=50, hidden_size=384, num_hidden_layers=1, num_attention_heads=12, num_labels=500)
    model = BertForSequenceClassification(config).eval()
    config.save_pretrained(tmp_path)
    rows = {"input_ids": torch.arange(41)[None]}
    with torch.inference_mode():
        expected = model(**rows).logits
        for length in range(0, 64, 8):
            save_file(model.state_dict(), tmp_path / "model.safetensors", {"format": "pt", "filler": "x" * length})
            loaded = classifier.finetuned(tmp_path)
            assert torch.equal(loaded(**rows).logits, expected)
            assert all(tensor.data_ptr() % 64 == 0 for tensor in (*loaded.parameters(), *loaded.buffers()))


@pytest.mark.parametrize(
    ("old", "new", "is_kept"),
    [
        (["no", "yes"], ["no", "yes"], True),
        (["yes", "no"], ["no", "yes"], False),
        (["a", "b", "c"], ["no", "yes"], False),
        (["no", "yes"], [], False),
    ],
)
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_classifier_keeps_its_head_only_for_its_own_labels(
    kind: str, old: list[str], new: list[str], is_kept: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Prevents a failure when the number of labels differs, and a head that was trained for other labels."""
    config = AutoConfig.for_model(
        kind, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9,
        id2label=dict(enumerate(old)),
    )  # fmt: skip
    saved = AutoModelForSequenceClassification.from_config(config)
    saved.save_pretrained(tmp_path)
    task = task_record(problem_type="classification" if new else "regression", labels=new)
    model = classifier.new(tmp_path, task, "model")
    before, encoder, head = saved.state_dict(), set(), set()
    for name, value in model.state_dict().items():
        if value.ndim == 2:  # biases begin at zero
            (encoder if name.startswith(f"{kind}.") else head).add(torch.equal(value, before[name]))
    assert (encoder, head) == ({True}, {is_kept})
    assert model.config.id2label == (dict(enumerate(new)) or {0: "score"})
    assert model.config.problem_type == ("single_label_classification" if new else "regression")
    assert ("its head is kept" if is_kept else "starting with a new head") in capfd.readouterr().err
