"""The model card of a fine-tuned model in the format of the Hugging Face hub: metrics/model_card.md.

The text is in model_card.md.j2. The metadata are huggingface_hub's own classes, so that the hub reads the scores
(`model-index`).
"""

from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from refit.escaping import markdown
from refit.evaluation.against_baseline import verdict
from refit.evaluation.metrics import SCORES
from refit.params import formatted
from refit.report.run_data import Run

TEMPLATE = Path(__file__).parent / "model_card.md.j2"


def text(run: Run) -> str:
    """The card of an evaluated run."""
    model = run.model
    base, params = model["model"], run.params
    if model["source"] == "folder":  # its name alone, because its path says something about the user's machine
        base = Path(base).name
        params = {**params, "model": base}
    card = ModelCard.from_template(
        _metadata(run), template_path=str(TEMPLATE), md=markdown, formatted=formatted, title=_title, verdict=verdict,
        run=run, task=run.task, model=model, base=base, params=params, scores=SCORES,
    )  # fmt: skip
    return f"{card}\n"


def _title(label: str) -> str:
    return label[0].upper() + label[1:]


def _metadata(run: Run) -> ModelCardData:
    task, model = run.task, run.model
    on_hub = task.source == "hub"
    results = [
        EvalResult(
            task_type="text-classification", task_name="Text classification",
            dataset_type=task.source_name, dataset_name=task.name, dataset_split=split,
            dataset_revision=task.revision if on_hub else None,
            metric_type=SCORES[name].hub_id, metric_name=_title(SCORES[name].label),
            metric_args=SCORES[name].hub_args or None, metric_value=run.scores[split][name],
        )
        for split in run.scored
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
