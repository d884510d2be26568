"""Print tables and sentences: as text for a terminal, as Markdown for a pull request, as JSON for programs."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from tabulate import tabulate

from refit.escaping import code, markdown, one_line
from refit.evaluation.against_baseline import LINEAR_MODEL

WIDTH = 110  # characters per line of a paragraph in the terminal
NUMBERS = {"value", "95% interval", LINEAR_MODEL, "difference", "p", "row", "rows"}  # columns aligned to the right
LONG = 50  # rows of a table that Markdown folds
MOST = 40_000  # characters of a folded table; GitHub allows 65,536 in a comment


@dataclass(frozen=True)
class Output:
    """What to print: `tables` (each with its head and rows) and `paragraphs` for people, `value` for programs."""

    title: str
    tables: Sequence[tuple[Sequence[str], list[list[str]]]]
    paragraphs: list[str]
    value: dict[str, Any]


def terminal(output: Output) -> str:
    """The tables, then the paragraphs."""
    paragraphs = (one_line(text, 1000) for text in output.paragraphs)
    wrapped = (textwrap.fill(text, WIDTH, break_on_hyphens=False) for text in paragraphs)
    return "\n\n".join([*(table(head, rows) for head, rows in output.tables), *wrapped])


def pull_request(output: Output) -> str:
    """The same as GitHub's Markdown, with as many rows of a long table as fit in a comment."""
    tables = (_markdown_table(head, rows) for head, rows in output.tables)
    return "\n\n".join([f"### {output.title}", *tables, *(markdown(text, 1000) for text in output.paragraphs)])


def machine(output: Output) -> str:
    """JSON, with unrounded numbers and null for missing ones."""
    return json.dumps(output.value, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False, default=str)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a terminal; `head` names its columns."""
    cells = [[one_line(cell) for cell in row] for row in (head, *rows)]
    alignment = ["right" if name in NUMBERS else "left" for name in head]
    return str(tabulate(cells[1:], cells[0], tablefmt="plain", disable_numparse=True, colalign=alignment))


def _markdown_table(head: Sequence[str], rows: list[list[str]]) -> str:
    alignment = ["--:" if name in NUMBERS else ":--" for name in head]
    lines = [" | ".join(code(cell) if cell else "" for cell in row) for row in rows]
    shown = sum(length <= MOST for length in accumulate(map(len, lines)))
    written = "\n".join(
        f"| {line} |" for line in (" | ".join(map(markdown, head)), " | ".join(alignment), *lines[:shown])
    )
    if len(rows) <= LONG:
        return written
    return f"<details><summary>The first {shown:,} of {len(rows):,} rows</summary>\n\n{written}\n\n</details>"
