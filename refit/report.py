"""The report page: one self-contained HTML file with a run's scores."""

from html import escape
from pathlib import Path
from typing import Any

from refit import files, paths

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
"""


def write(target: Path) -> None:
    """Write the page of the scores in metrics/."""
    task = files.read_json(paths.TASK)
    model = files.read_json(paths.BASE_MODEL / "model.json")
    scores: dict[str, Any] = files.read_json(paths.SCORES)[task["task"]]
    details: dict[str, Any] = files.read_json(paths.DETAILS)[task["task"]]
    parts = [
        f"<h1>{escape(task['task'])}</h1>",
        f"<p>Model: {escape(model['model'])} ({escape(model['revision'])}). "
        f"Data: {escape(task['source_name'])} ({escape(task['revision'])}).</p>",
        f"<p>{escape(task['note'])}</p>" if task["note"] else "",
        _table(["split", "score", "value", "95% interval", "rows"], _score_rows(task, scores, details)),
    ]
    for split, detail in details.items():
        if "classes" in detail:
            rows = [
                [name, f"{of['precision']:.3f}", f"{of['recall']:.3f}", f"{of['f1']:.3f}", f"{of['rows']:,}"]
                for name, of in detail["classes"].items()
            ]
            parts += [f"<h2>{escape(split)}</h2>", _table(["label", "precision", "recall", "f1", "rows"], rows)]
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(task["task"])}</title>'
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(part for part in parts if part) + "\n</body></html>\n"
    )
    files.write_text(target, page)


def _score_rows(task: dict[str, Any], scores: dict[str, Any], details: dict[str, Any]) -> list[list[str]]:
    rows = []
    for split, values in scores.items():
        for name in task["scores"]:
            low, high = details[split]["intervals"][name]
            rows.append([split, name, f"{values[name]:.4f}", f"{low:.3f} to {high:.3f}", f"{values['rows']:,}"])
    return rows


def _table(head: list[str], rows: list[list[str]]) -> str:
    header = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{header}</tr></thead><tbody>\n{body}\n</tbody></table>"
