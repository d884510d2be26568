"""The model card of a fine-tuned model, README.md, in the format of the Hugging Face hub.

The text is in model_card.md.j2. The metadata are huggingface_hub's own classes, so that the hub reads the scores
(`model-index`). They are those of the best epoch on validation, which training knows; the report has the test scores.
"""

from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from refit.data.task_record import TaskRecord
from refit.escaping import markdown
from refit.evaluation.metrics import SCORES
from refit.params import formatted

TEMPLATE = Path(__file__).parent / "model_card.md.j2"


def text(
    task: TaskRecord, model: dict[str, Any], rows: dict[str, int], params: dict[str, Any], best: dict[str, float]
) -> str:
    """The card.

    `model` is model.json, `rows` the rows used of each split, `params` those of the train stage and `best` the row of
    history.csv whose weights were kept.
    """
    card = ModelCard.from_template(
        _metadata(task, model, best), template_path=str(TEMPLATE), md=markdown, formatted=formatted, title=_title,
        task=task, model=model, params=params, best=best, scores=SCORES,
        # of a folder its name alone, because its path says something about the user's machine
        base=Path(model["model"]).name if model["source"] == "folder" else str(model["model"]),
        rows={split: rows[split] for split in ("train", *sorted(rows.keys() - {"train"}, reverse=True))},
    )  # fmt: skip
    return f"{card}\n"


def _title(label: str) -> str:
    return label[0].upper() + label[1:]


def _metadata(task: TaskRecord, model: dict[str, Any], best: dict[str, float]) -> ModelCardData:
    on_hub = task.source == "hub"
    results = [
        EvalResult(
            task_type="text-classification", task_name="Text classification",
            dataset_type=task.source_name, dataset_name=task.name, dataset_split="validation",
            dataset_revision=task.revision if on_hub else None,
            metric_type=SCORES[name].hub_id, metric_name=_title(SCORES[name].label),
            metric_args=SCORES[name].hub_args or None, metric_value=round(best[f"validation_{name}"], 6),
        )
        for name in task.scores
    ]  # fmt: skip
    return ModelCardData(
        model_name=task.name,
        library_name="transformers",
        pipeline_tag="text-classification",
        base_model=model["model"] if model["source"] == "hub" else None,
        datasets=[task.source_name] if on_hub else None,
        metrics=list(dict.fromkeys(SCORES[name].hub_id for name in task.scores)),
        eval_results=results,
    )
