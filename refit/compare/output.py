"""Print tables and sentences: as text for a terminal, as Markdown for a pull request, as JSON for programs."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from tabulate import tabulate

from refit.escaping import LONGEST, code, markdown, one_line
from refit.evaluation.against_baseline import LINEAR_MODEL

WIDTH = 110  # characters per line of a paragraph in the terminal
NUMBERS = {"value", "95% interval", LINEAR_MODEL, "difference", "p", "row", "rows"}  # columns aligned to the right
LONGEST_TEXT = 60  # characters of a text in a table
LONG = 50  # rows of a table that Markdown folds
MOST = 40_000  # characters of a folded table; GitHub allows 65,536 in a comment
Rows = Sequence[Mapping[str, Any]]  # a table: the cells of each row by the name of their column


@dataclass(frozen=True)
class Output:
    """What to print: `tables` (empty ones are left out) and `paragraphs` for people, `value` for programs."""

    title: str
    tables: Sequence[Rows]
    paragraphs: Sequence[str]
    value: dict[str, Any]


def terminal(output: Output) -> str:
    """The tables, then the paragraphs."""
    paragraphs = (one_line(text, 1000) for text in output.paragraphs)
    wrapped = (textwrap.fill(text, WIDTH, break_on_hyphens=False) for text in paragraphs)
    return "\n\n".join([*(table(rows) for rows in output.tables if rows), *wrapped])


def pull_request(output: Output) -> str:
    """The same as GitHub's Markdown, with as many rows of a long table as fit in a comment."""
    tables = (_markdown_table(rows) for rows in output.tables if rows)
    return "\n\n".join([f"### {output.title}", *tables, *(markdown(text, 1000) for text in output.paragraphs)])


def machine(output: Output) -> str:
    """JSON, with unrounded numbers and null for missing ones."""
    return json.dumps(output.value, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False, default=str)


def table(rows: Rows) -> str:
    """A table for a terminal."""
    head, *cells = _cells(rows)
    alignment = ["right" if name in NUMBERS else "left" for name in head]
    return str(tabulate(cells, head, tablefmt="plain", disable_numparse=True, colalign=alignment))


def _markdown_table(rows: Rows) -> str:
    head, *cells = _cells(rows)
    alignment = ["--:" if name in NUMBERS else ":--" for name in head]
    lines = [[code(cell) if cell else "" for cell in row] for row in cells]
    shown = sum(length <= MOST for length in accumulate(sum(map(len, line)) for line in lines))
    written = "\n".join(f"| {' | '.join(line)} |" for line in [[*map(markdown, head)], alignment, *lines[:shown]])
    if len(rows) <= LONG:
        return written
    return f"<details><summary>The first {shown:,} of {len(rows):,} rows</summary>\n\n{written}\n\n</details>"


def _cells(rows: Rows) -> list[list[str]]:
    """The head and the rows of a table."""
    cells = [[one_line(name.replace("_", " ")) for name in rows[0]]]
    for row in rows:
        texts = {name: f"{value:,}" if isinstance(value, int) else value or "" for name, value in row.items()}
        cells.append([one_line(of, LONGEST_TEXT if "text" in name else LONGEST) for name, of in texts.items()])
    return cells
