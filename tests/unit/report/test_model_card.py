"""The model card of a fine-tuned model, read back by huggingface_hub's own classes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.utils import validate_repo_id
from made_runs import write

from refit import params, paths
from refit.evaluation.against_baseline import verdict
from refit.report import model_card
from refit.report.run_data import Run
from refit.storage import files

MODEL = {"model": "google-bert/bert-base-cased", "source": "hub", "revision": "a" * 40}
ON_HUB = {"name": "mrpc", "source": "hub", "source_name": "nyu-mll/glue", "revision": "b" * 40}
Card = Callable[..., str]


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Card:
    """Write a made-up run and return its card, with another model, and other fields of the task, if they are given."""

    def make(model: dict[str, str] = MODEL, task: dict[str, Any] = ON_HUB, **made: Any) -> str:
        monkeypatch.chdir(write(tmp_path / "run", **made))
        run = Run(params.values())
        run.model, run.task = model, run.task.model_copy(update=task)
        return model_card.text(run)

    return make


def test_the_hub_reads_the_scores_and_what_they_are_of(card: Card) -> None:
    """Prevents metadata that the hub cannot read: it would show no scores, without an error."""
    text = card()
    scores = files.read_json(paths.SCORES)["own/made"]
    read = ModelCard(text, ignore_metadata_errors=False)
    assert read.data.library_name == "transformers"
    assert read.data.pipeline_tag == "text-classification"
    assert read.data.base_model == MODEL["model"]
    assert read.data.datasets == ["nyu-mll/glue"]
    validate_repo_id(read.data.base_model)
    found = {(r.dataset_split, r.metric_type, r.metric_name, r.metric_value) for r in read.data.eval_results}
    assert found == {
        (split, hub_id, name, scores[split][score])
        for split in ("test", "validation")
        for score, hub_id, name in (("accuracy", "accuracy", "Accuracy"), ("macro_f1", "f1", "Macro F1"))
    }
    assert {(r.dataset_type, r.dataset_revision) for r in read.data.eval_results} == {("nyu-mll/glue", "b" * 40)}


def test_the_card_shows_the_baseline_and_what_people_score(card: Card) -> None:
    """Prevents a score in public without what it is worth."""
    text = card(task={"human": {"one rater": {"accuracy": 0.671, "macro_f1": 0.55}}})
    test = files.read_json(paths.DETAILS)["own/made"]["test"]["baseline"]["accuracy"]
    assert f"| {test['value']:.4f} | {verdict(test)} |" in text
    assert "one rater against the mean of the others: accuracy 0.671, macro F1 0.550." in text


@pytest.mark.parametrize(
    ("how", "said"),
    [("head", "- Texts are truncated to 32 tokens.\n- "), ("head_tail", "- Of texts longer than 32 tokens, the first"),
     ("windows", "- Texts longer than 32 tokens were read in windows that overlap, and the logits averaged.")],
)  # fmt: skip
def test_the_card_says_what_was_done_with_long_texts(card: Card, how: str, said: str) -> None:
    """Prevents users of transformers' pipeline from expecting the scores of the card."""
    card()
    run = Run({**params.values(), "long_texts": how})
    text = model_card.text(run)
    assert said in text
    assert ("The pipeline above reads the first" in text) == (how != "head")


def test_what_is_not_on_the_hub_is_not_claimed_to_be(card: Card) -> None:
    """Prevents a false link to somebody else's model or dataset of the same name, and a local path in public."""
    text = card({"model": "/home/ann/secret/our-model", "source": "folder", "revision": "local"}, {})
    data = ModelCard(text, ignore_metadata_errors=False).data
    assert data.base_model is None
    assert data.datasets is None
    assert "our-model" in text
    assert "/home/ann" not in text


def test_hostile_labels_stay_text(card: Card) -> None:
    """Prevents labels that act as markup: the hub renders the card as Markdown with HTML."""
    labels = ["</script><img src=x onerror=alert(1)>", "a|b `c`\n# d", "[x](javascript:y)", "\x00"]
    body = card(labels=labels)
    assert "<img" not in body
    assert "0. &#60;/script&#62;&#60;img src=x onerror=alert(1)&#62;" in body
    assert "1. a&#124;b &#96;c&#96; &#35; d" in body
    assert "2. &#91;x&#93;(javascript&#58;y)" in body
    assert "\x00" not in body


def test_many_labels_are_listed_in_part(card: Card) -> None:
    """Prevents a card of five thousand lines."""
    body = card(labels=[f"label {i}" for i in range(80)])
    assert "49. label 49" in body
    assert "label 50" not in body
    assert "And 30 more" in body
