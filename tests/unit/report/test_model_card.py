"""The model card of a fine-tuned model, read back by huggingface_hub's own classes."""

from typing import Any

from huggingface_hub import ModelCard
from huggingface_hub.utils import validate_repo_id
from made_runs import task_record

from refit.data.task_record import TaskRecord
from refit.training import model_card

PARAMS: dict[str, Any] = {"lr": 2e-5, "epochs": 3, "stratify": False, "max_length": 64}
ROWS = {"test": 30, "train": 1000, "validation": 200}
BEST = {"epoch": 2.0, "step": 126.0, "train_loss": 0.4, "validation_loss": 0.5, "validation_accuracy": 0.8125,
        "validation_macro_f1": 0.79, "validation_pearson": 0.9}  # fmt: skip
MODEL = {"model": "google-bert/bert-base-cased", "source": "hub", "revision": "a" * 40}


def described(**changes: Any) -> TaskRecord:
    fields: dict[str, Any] = {
        "name": "mrpc", "source": "hub", "source_name": "nyu-mll/glue", "revision": "b" * 40, "is_pair": True,
        "scores": ["accuracy", "macro_f1"], **changes,
    }  # fmt: skip
    return task_record(**fields)


def test_the_hub_reads_the_scores_and_what_they_are_of() -> None:
    """Prevents metadata that the hub cannot read: it would show no scores, without an error."""
    read = ModelCard(model_card.text(described(), MODEL, ROWS, PARAMS, BEST), ignore_metadata_errors=False)
    assert read.data.library_name == "transformers"
    assert read.data.pipeline_tag == "text-classification"
    assert read.data.base_model == MODEL["model"]
    assert read.data.datasets == ["nyu-mll/glue"]
    validate_repo_id(read.data.base_model)
    found = {(r.metric_type, r.metric_name, r.metric_value) for r in read.data.eval_results}
    assert found == {("accuracy", "Accuracy", 0.8125), ("f1", "Macro F1", 0.79)}
    assert {(r.dataset_type, r.dataset_split, r.dataset_revision) for r in read.data.eval_results} == {
        ("nyu-mll/glue", "validation", "b" * 40)
    }


def test_what_is_not_on_the_hub_is_not_claimed_to_be() -> None:
    """Prevents a false link to somebody else's model or dataset of the same name, and a local path in public."""
    model = {"model": "/home/ann/secret/our-model", "source": "folder", "revision": "local"}
    task = described(source="own", source_name="own/mail", name="own/mail")
    text = model_card.text(task, model, ROWS, PARAMS, BEST)
    data = ModelCard(text, ignore_metadata_errors=False).data
    assert data.base_model is None
    assert data.datasets is None
    assert "our-model" in text
    assert "/home/ann" not in text


def test_hostile_labels_stay_text() -> None:
    """Prevents labels that act as markup: the hub renders the card as Markdown with HTML."""
    labels = ["</script><img src=x onerror=alert(1)>", "a|b `c`\n# d", "[x](javascript:y)", "\x00"]
    body = model_card.text(described(labels=labels), MODEL, ROWS, PARAMS, BEST)
    assert "<img" not in body
    assert "0. &#60;/script&#62;&#60;img src=x onerror=alert(1)&#62;" in body
    assert "1. a&#124;b &#96;c&#96; &#35; d" in body
    assert "2. &#91;x&#93;(javascript&#58;y)" in body
    assert "\x00" not in body


def test_many_labels_are_listed_in_part() -> None:
    """Prevents a card of five thousand lines."""
    body = model_card.text(described(labels=[f"label {i}" for i in range(80)]), MODEL, ROWS, PARAMS, BEST)
    assert "49. label 49" in body
    assert "label 50" not in body
    assert "And 30 more" in body
