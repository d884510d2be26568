"""Print a comparison: as text for a terminal, as Markdown for a pull request, as JSON for programs."""

import json
import textwrap
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from tabulate import tabulate

from refit.compare import comparison
from refit.compare.comparison import Comparison, Line
from refit.compare.flips import Flip
from refit.escaping import code, markdown, one_line
from refit.evaluation import significance

WIDTH = 110  # characters per line of a paragraph in the terminal
HEAD = ("task", "split", "score", "revision", "value", "95% interval", "difference", "p", "is it real?")
ALIGNMENT = ("left", "left", "left", "left", "right", "right", "right", "right", "left")
MOST_FLIPS = 40_000  # characters of flips in Markdown; GitHub allows 65,536 in a comment
MARK = {comparison.REAL: "**real**"}


def terminal(compared: Comparison, flips: Sequence[Flip] | None = None) -> str:
    """The comparison as tables, followed by the reasons, the conclusion and how to read it."""
    rows, above = [], ("", "", "")
    for line in compared.lines:
        place = (line.task, line.split, line.score)
        shown = ["" if place[: index + 1] == above[: index + 1] else name for index, name in enumerate(place)]
        rows.append([*(one_line(cell, 40) for cell in shown), *(one_line(cell, 60) for cell in cells(line))])
        above = place
    parts = [_table(rows, HEAD, colalign=ALIGNMENT)]
    titles = [[one_line(run.name, 60), one_line(run.revision.title, 80)] for run in compared.runs]
    parts.append("Revisions\n" + _indented(_table(titles)))
    differing = [[name, *(one_line(value, 40) for value in of)] for name, of in compared.params.items()]
    if differing:
        names = ["", *(one_line(group.name, 40) for group in compared.groups)]
        parts.append("Params that differ\n" + _indented(_table(differing, names)))
    if compared.inputs:
        parts.append("Code and data that differ\n" + _indented("\n".join(map(one_line, compared.inputs))))
    if flips is not None:
        parts.append(_flips(flips))
    below = [*reasons(compared), *compared.notes, conclusion(compared), legend(compared)]
    parts += [textwrap.fill(one_line(text, 1000), WIDTH, break_on_hyphens=False) for text in below if text]
    return "\n\n".join(parts)


def pull_request(compared: Comparison, flips: Sequence[Flip] | None = None) -> str:
    """The comparison as GitHub's Markdown."""
    parts = ["### Scores"]
    if conclusion(compared):
        parts.append(markdown(conclusion(compared), 1000))
    rows = [
        [markdown(line.task), markdown(line.split), markdown(line.score), *_markdown_cells(line)]
        for line in compared.lines
    ]
    parts.append(_table(rows, HEAD, "pipe", colalign=ALIGNMENT))
    parts.append("\n".join(f"- {code(run.name, 60)} {code(run.revision.title, 80)}" for run in compared.runs))
    if compared.params:
        differing = [[code(name), *(code(value, 60) for value in of)] for name, of in compared.params.items()]
        parts.append(_table(differing, ["param", *(code(group.name, 60) for group in compared.groups)], "pipe"))
    if compared.inputs:
        parts.append("Code and data that differ: " + ", ".join(map(code, compared.inputs)))
    parts += [markdown(text, 1000) for text in [*reasons(compared), *compared.notes]]
    if flips:
        parts.append(_folded(flips))
    if legend(compared):
        parts.append(f"<sub>{markdown(legend(compared), 1000)}</sub>")
    return "\n\n".join(parts)


def machine(compared: Comparison, flips: Sequence[Flip] | None = None) -> str:
    """The comparison as JSON, with unrounded numbers and null for missing ones."""
    value: dict[str, Any] = {
        "scores": [_line_of_json(line) for line in compared.lines],
        "revisions": [
            {"name": run.name, "commit": run.revision.commit, "title": run.revision.title, "task": run.task_name,
             "scores": run.scores, "params": run.params}
            for run in compared.runs
        ],
        "groups": [
            {"name": group.name, "revisions": [run.name for run in group.runs],
             "not_counted": [run.name for run in group.repeats]}
            for group in compared.groups
        ],
        "params_that_differ": compared.params,
        "code_and_data_that_differ": compared.inputs,
        "notes": compared.notes,
        "level": significance.LEVEL,
    }  # fmt: skip
    if flips is not None:
        value["flips"] = [vars(flip) for flip in flips]
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False, default=str)


def cells(line: Line) -> list[str]:
    """The cells of a line, from the column `revision` on."""
    deviation = f" ± {line.deviation:.4f}" if line.deviation is not None else ""
    interval = f"{line.low:.3f} to {line.high:.3f}" if line.low is not None and line.high is not None else ""
    difference = f"{line.difference:+.4f}" if line.difference is not None else ""
    return [line.group.name, f"{line.value:.4f}{deviation}", interval, difference, p_value(line), line.verdict]


def p_value(line: Line) -> str:
    """The corrected p-value as text; empty if there is none."""
    if line.corrected is None:
        return ""
    return "<0.0001" if line.corrected < 0.0001 else f"{line.corrected:.4f}"


def reasons(compared: Comparison) -> list[str]:
    """Why scores were not compared, each reason once."""
    return list(dict.fromkeys(line.reason for line in compared.lines if line.verdict == comparison.REFUSED))


def conclusion(compared: Comparison) -> str:
    """One sentence on the task's main score: the last revision against the first."""
    line = compared.headline()
    if line is None or line.difference is None or line.against is None:
        return ""
    about = f"{line.score} on {line.split} {line.difference:+.4f}"
    says = {
        comparison.REAL: f"a real {'gain' if line.difference > 0 else 'loss'}",
        comparison.CHANCE: "may be chance",
        comparison.SAME: "the same predictions",
        comparison.UNKNOWN: "cannot tell if it is real: the predictions are not available here",
    }
    return f"{line.group.name} against {line.against.name}: {about}, {says[line.verdict]}."


def legend(compared: Comparison) -> str:
    """How the p-values were computed, and what the verdicts mean."""
    tests = list(dict.fromkeys(line.test.test for line in compared.lines if line.test))
    if not tests:
        return ""
    count = sum(line.test is not None for line in compared.lines)
    several = f"corrected for {count} comparisons (Holm)" if count > 1 else "of one comparison"
    return (
        f"Differences are to the first revision of the task. p: two-sided, {several}; by {_listed(tests)}. "
        f"real: p < {significance.LEVEL}. may be chance: not shown to be real, not shown to be equal."
    )


def _listed(names: list[str]) -> str:
    known = {
        significance.MCNEMAR: "McNemar's exact test (accuracy)",
        significance.BOOTSTRAP: f"a paired bootstrap of {significance.DRAWS:,} draws (other scores)",
        significance.WELCH: "Welch's t test with the variance over seeds and rows (groups of seeds)",
    }
    return ", ".join(known[name] for name in names)


def _line_of_json(line: Line) -> dict[str, Any]:
    test = line.test
    return {
        "task": line.task, "split": line.split, "score": line.score, "rows": line.rows, "group": line.group.name,
        "value": line.value, "standard_deviation": line.deviation,
        "interval": None if line.low is None else [line.low, line.high],
        "difference": line.difference, "difference_interval": [test.low, test.high] if test else None,
        "p": test.p if test else None, "p_corrected": line.corrected, "test": test.test if test else None,
        "verdict": line.verdict, "reason": line.reason,
    }  # fmt: skip


def _markdown_cells(line: Line) -> list[str]:
    name, *numbers, verdict = cells(line)
    return [code(name, 60), *map(markdown, numbers), MARK.get(verdict, verdict)]


def _folded(flips: Sequence[Flip]) -> str:
    """A collapsed table of the flips, with as many rows as fit in a comment."""
    head = ["split", "row", "label", "before", "after", "text"]
    rows = [[code(cell) for cell in _flip_cells(flip)] for flip in flips]
    shown = sum(length <= MOST_FLIPS for length in accumulate(sum(map(len, row)) for row in rows))
    first = f", the first {shown:,} of them here" if shown < len(rows) else ""
    summary = f"<summary>{len(flips):,} rows flipped{first}</summary>"
    table = _table(rows[:shown], head, "pipe", stralign=None)  # not padded to the width of the longest text
    return f"<details>{summary}\n\n{table}\n\n</details>"


def _flips(flips: Sequence[Flip]) -> str:
    if not flips:
        return "Rows that flipped\n  none"
    right = sum(flip.is_right_now for flip in flips)
    head = f"Rows that flipped: {right:,} became right, {len(flips) - right:,} became wrong"
    listed = []
    for flip in flips:
        split, row, label, before, after, text = _flip_cells(flip)
        listed.append(f"{split} row {row}: {before} → {after} (label: {label})\n  {text}")
    return head + "\n" + _indented("\n".join(listed))


def _flip_cells(flip: Flip) -> list[str]:
    labels = (one_line(label, 40) for label in (flip.label, flip.before, flip.after))
    return [flip.split, str(flip.row), *labels, " ‖ ".join(map(one_line, flip.texts))]


def _table(rows: Sequence[Sequence[str]], head: Sequence[str] = (), form: str = "plain", **options: Any) -> str:
    return str(tabulate(rows, head, tablefmt=form, disable_numparse=True, **options))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
