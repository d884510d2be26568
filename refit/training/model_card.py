"""The model card of a fine-tuned model, README.md, in the format of the Hugging Face hub.

The metadata are huggingface_hub's own classes, so that the hub reads the scores (`model-index`) as they are meant.
The scores are those of the best epoch on validation, which training knows; the report has the test scores too.
"""

import json
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from refit.data.task_record import TaskRecord
from refit.escaping import markdown
from refit.evaluation.metrics import SCORES

MOST_LABELS = 50


# Our names of scores in the hub's terms: the metric's id there, its name in words, its arguments.
def text(
    task: TaskRecord, model: dict[str, Any], rows: dict[str, int], params: dict[str, Any], best: dict[str, float]
) -> str:
    """The card.

    `task` is task.json, `model` model.json, `rows` the rows used of each split, `params` those of the train stage
    and `best` the row of history.csv whose weights were kept.
    """
    rows = {split: rows[split] for split in ("train", *sorted(rows.keys() - {"train"}, reverse=True))}
    card = ModelCard(f"---\n{_metadata(task, model, best).to_yaml()}\n---\n\n{_body(task, model, rows, params, best)}")
    return str(card)


def _title(name: str) -> str:
    label = SCORES[name].label
    return label[0].upper() + label[1:]


def _metadata(task: TaskRecord, model: dict[str, Any], best: dict[str, float]) -> ModelCardData:
    on_hub = task.source == "hub"
    results = [
        EvalResult(
            task_type="text-classification", task_name="Text classification",
            dataset_type=task.source_name, dataset_name=task.name, dataset_split="validation",
            dataset_revision=task.revision if on_hub else None,
            metric_type=SCORES[name].hub_id, metric_name=_title(name), metric_args=SCORES[name].hub_args or None,
            metric_value=round(best[f"validation_{name}"], 6),
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


def _body(
    task: TaskRecord, model: dict[str, Any], rows: dict[str, int], params: dict[str, Any], best: dict[str, float]
) -> str:
    regression = task.is_regression
    kind = "gives a text a value" if not task.is_pair else "gives a pair of texts a value"
    if not regression:
        kind = f"puts {'pairs of texts' if task.is_pair else 'texts'} into {len(task.labels)} classes"
    return "\n".join(
        [
            f"# {_plain(task.name)}",
            "",
            f"This model {kind}. It is {_plain(_model_name(model))} (revision {_plain(model['revision'])}), "
            f"fine-tuned on {rows['train']:,} rows.",
            "",
            "## How to load it",
            "",
            *_loading(task, params),
            "",
            *([] if regression else ["## Labels", "", *_labels(task.labels), ""]),
            "## Data",
            "",
            f"{_plain(task.source_name)}, revision {_plain(str(task.revision))}. Rows used: "
            + ", ".join(f"{split.replace('_', ' ')} {count:,}" for split, count in rows.items())
            + ".",
            *(["", f"Note: {_plain(task.note)}."] if task.note else []),
            "",
            "## Scores",
            "",
            f"On validation, after epoch {best['epoch']:.4g} (step {best['step']:.0f}), the best by "
            f"{_title(task.best_score).lower()}:",
            "",
            *_table(
                ("score", "value"),
                [
                    *((_title(name), f"{best[f'validation_{name}']:.4f}") for name in task.scores),
                    ("Loss", f"{best['validation_loss']:.4f}"),
                ],
            ),
            "",
            "## Limits",
            "",
            "- The epoch was chosen on the rows that these scores are from, so they are a little too good.",
            f"- Texts are cut after {params['max_length']:,} tokens"
            + (", both texts of a pair counted together." if task.is_pair else "."),
            "- What differs from the training rows (language, length, topic, time) is not covered by the scores.",
            "- Nobody has checked how the model treats groups of people; do so before it decides anything about them.",
            "- The licences of the base model and of the data apply.",
            "",
            "## Training",
            "",
            "Hugging Face Trainer, run by refit, with these params:",
            "",
            *_table(("param", "value"), [(name, f"`{_yaml(value)}`") for name, value in params.items()]),
            "",
        ]
    )


def _model_name(model: dict[str, Any]) -> str:
    """The base model's name; of a folder its last part, because where it lies is nobody's business."""
    return Path(model["model"]).name if model["source"] == "folder" else str(model["model"])


def _loading(task: TaskRecord, params: dict[str, Any]) -> list[str]:
    given = '{"text": "the first text", "text_pair": "the second"}' if task.is_pair else '"a text to classify"'
    raw = ', function_to_apply="none"' if task.is_regression else ""
    return [
        "```python",
        "from transformers import pipeline",
        "",
        'classify = pipeline("text-classification", model="models/finetuned")  # this folder, or its id on the hub',
        f"classify({given}, truncation=True, max_length={params['max_length']}{raw})",
        "```",
    ]


def _labels(labels: list[str]) -> list[str]:
    lines = [f"{index}. {_plain(label)}" for index, label in enumerate(labels[:MOST_LABELS])]
    more = len(labels) - MOST_LABELS
    return [*lines, *(["", f"And {more:,} more, all in config.json."] if more > 0 else [])]


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    return [f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def _plain(value: str) -> str:
    """A text of the data as Markdown displays it, on one line."""
    return markdown(value, 80) or "(empty)"


def _yaml(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (bool, dict)) else str(value)
