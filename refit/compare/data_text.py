"""Print the changes between two versions of the data: for a terminal, as Markdown, as JSON."""

import json
from collections.abc import Iterator

from refit import paths
from refit.compare import data_changes
from refit.compare.data_changes import UNCHANGED, Changes
from refit.compare.text import markdown_table, table
from refit.escaping import markdown, one_line

MOST_LABELS = 20  # rows of the table of labels
LONGEST_CELL = 60


def terminal(found: Changes) -> str:
    """The changes as tables, followed by a sentence."""
    return "\n\n".join([*(table(head, rows) for head, rows in _tables(found)), one_line(_sentence(found), 1000)])


def pull_request(found: Changes) -> str:
    """The changes as GitHub's Markdown."""
    tables = (markdown_table(head, rows) for head, rows in _tables(found))
    return "\n\n".join(["### Data", *tables, markdown(_sentence(found), 1000)])


def machine(found: Changes) -> str:
    """The changes as JSON, with every label and complete texts."""
    return json.dumps(vars(found), indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False)


def _tables(found: Changes) -> Iterator[tuple[list[str], list[list[str]]]]:
    """The head and rows of each table; of the labels those whose number of rows changed most."""
    for name, rows in found.tables.items():
        if name == "labels":
            rows = sorted(rows, key=lambda row: -abs(row["after"] - row["before"]))[:MOST_LABELS]
        if rows:
            cells = [[_cell(value) for value in row.values()] for row in rows]
            yield [key.replace("_", " ") for key in rows[0]], cells


def _cell(value: str | int | None) -> str:
    return f"{value:,}" if isinstance(value, int) else one_line(value or "", LONGEST_CELL)


def _sentence(found: Changes) -> str:
    changed = (
        data_changes.summary(found.totals) if found.tables else f"the files are identical (same sha256 in {paths.TASK})"
    )
    return f"{found.after} against {found.before}: {changed}; {found.totals[UNCHANGED]:,} unchanged."
