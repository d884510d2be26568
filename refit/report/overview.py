"""What a run is: its lead, its task, model, data and params, and how to get it again."""

import shlex
from typing import Any

from markupsafe import Markup

from refit import params, paths
from refit.escaping import cut
from refit.report import page
from refit.report.run_data import Run
from refit.report.scores_section import NAMES, title
from refit.storage import files


def lead(run: Run) -> Markup:
    """The run in a sentence or two."""
    split, best = run.reported[0], run.task["best_score"]
    low, high = run.details[split]["intervals"][best]
    return page.paragraph(
        Markup("{}, fine-tuned from <b>{}</b> on {} rows: {} <b>{}</b> on {} (95%: {} to {}).").format(
            "Regression" if run.is_regression else f"{len(run.labels)} labels",
            run.model["model"], f"{len(run.sampled['train']):,}", NAMES[best],
            f"{run.scores[split][best]:.3f}", title(split), f"{low:.3f}", f"{high:.3f}",
        )
    )  # fmt: skip


def overview(run: Run) -> page.Section:
    """Task, model and data with their versions, and every param."""
    task, model = run.task, run.model
    weights = [digest for name, digest in model["files"].items() if name.endswith(".safetensors")]
    rows = ", ".join(f"{title(split)} {len(run.sampled[split]):,}" for split in run.splits)
    names = [cut(label, 60)[0] for label in run.labels[:12]]
    labels = ", ".join(names) + (f" and {len(run.labels) - 12} more" if len(run.labels) > 12 else "")
    known = [
        ("Task", task["task"]),
        ("Kind", "regression" if run.is_regression else f"classification: {labels}"),
        ("Data", f"{task['source_name']} ({task['source']}), revision {task['revision']}"),
        ("Rows used", rows),
        ("Model", f"{model['model']} ({model['source']}), revision {model['revision']}"),
        ("Model weights", _code("sha256 " + ", ".join(digest[:16] for digest in weights))),
        ("Data content", _code(f"sha256 {files.sha256(paths.TASK)[:16]} (data/raw/task.json)")),
    ]
    parts = [
        page.facts(known),
        Markup("<h3>Params</h3>"),
        _params(run),
    ]  # fmt: skip
    return page.Section("run", "The run", page.join(parts))


def reproduce(run: Run) -> page.Section:
    """The command that spells every param out."""
    body = [
        page.paragraph("With the same code, whatever params.yaml holds, this gives the same run:"),
        shell(command(run.params.model_dump())),
        page.paragraph(
            "The same inputs, versions and kind of machine give the same bytes, page included. Another processor, "
            "number of threads or build of torch gives close scores, not equal ones.",
            kind="quiet",
        ),
    ]
    return page.Section("reproduce", "Do this run again", page.join(body))


def command(values: dict[str, Any]) -> str:
    """The command that runs the pipeline with these params."""
    return " ".join(["dvc exp run", *(f"-S {shlex.quote(f'{name}={shown(value)}')}" for name, value in values.items())])


def shell(lines: str) -> Markup:
    """Commands to copy; where a line is broken to fit, an option keeps its value."""
    parts = [
        Markup("<span>-S {}</span>").format(part) if place else part for place, part in enumerate(lines.split(" -S "))
    ]
    return Markup("<pre>{}</pre>").format(Markup(" ").join(parts))


def shown(value: Any) -> str:
    """A param as params.yaml and the command line have it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{shown(of)}" for name, of in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(shown, value)) + "]"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _params(run: Run) -> Markup:
    values = run.params.model_dump()
    return page.facts(
        (
            stage,
            Markup(", ").join(Markup("{} <b>{}</b>").format(name, shown(values[name])) for name in fields.model_fields),
        )
        for stage, fields in params.STAGES.items()
        if fields is not params.Report
    )


def _code(content: str) -> Markup:
    return Markup("<code>{}</code>").format(content)
