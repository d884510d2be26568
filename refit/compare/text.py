"""A comparison of scores as tables and sentences."""

from collections.abc import Iterator, Sequence
from typing import Any

from refit.compare import comparison
from refit.compare.comparison import Comparison, Line
from refit.compare.flips import Flip
from refit.compare.output import Output
from refit.escaping import one_line
from refit.evaluation import significance
from refit.evaluation.against_baseline import LINEAR_MODEL

HEAD = ("task", "split", "score", "revision", "value", "95% interval", "difference", "p", "is it real?")
BASELINE_HEAD = ("revision", "split", "score", "value", LINEAR_MODEL, "difference", "p", "is it real?")
FLIP_HEAD = ("split", "row", "label", "before", "after", "text")
TESTS = {
    significance.MCNEMAR: "McNemar's exact test (accuracy)",
    significance.RANDOMIZATION: f"a randomization test of {significance.DRAWS:,} draws (other scores)",
    significance.WELCH: "Welch's t test with the variance over seeds and rows (groups of runs)",
}


def output(compared: Comparison, flips: Sequence[Flip] | None = None) -> Output:
    """The comparison to print: tables, the reasons why scores were not compared, the conclusion, how to read it."""
    value: dict[str, Any] = {
        "scores": [
            {
                **vars(line),
                "group": line.group.name,
                "against": line.against.name if line.against else None,
                "test": vars(line.test) if line.test else None,
            }
            for line in [*compared.lines, *compared.baseline]
        ],
        "revisions": [
            {"name": run.name, "commit": run.revision.commit, "title": run.revision.title, "task": run.task_name,
             "scores": run.scores, "params": run.params}
            for run in compared.runs
        ],
        "groups": [{"name": group.name, "revisions": [run.name for run in group.runs]} for group in compared.groups],
        "params_that_differ": compared.params,
        "code_and_data_that_differ": compared.inputs,
        "notes": compared.notes,
    }  # fmt: skip
    if flips is not None:
        value["flips"] = [vars(flip) for flip in flips]
    return Output("Scores", list(_tables(compared, flips)), list(_paragraphs(compared, flips)), value)


def p_value(line: Line) -> str:
    """The corrected p-value as text; empty if there is none."""
    if line.corrected is None:
        return ""
    return "<0.0001" if line.corrected < 0.0001 else f"{line.corrected:.4f}"


def _tables(compared: Comparison, flips: Sequence[Flip] | None) -> Iterator[tuple[Sequence[str], list[list[str]]]]:
    """The head and the rows of each table: scores, revisions, the params, code and data that differ, and flips."""
    rows, above = [], ("", "", "")
    for line in compared.lines:
        place = (line.task, line.split, line.score)
        shown = ["" if place[: index + 1] == above[: index + 1] else name for index, name in enumerate(place)]
        rows.append([*shown, *_cells(line)])
        above = place
    yield HEAD, rows
    if compared.baseline:
        yield BASELINE_HEAD, [_baseline_cells(line) for line in compared.baseline]
    yield ("revision", "title"), [[run.name, run.revision.title] for run in compared.runs]
    if compared.params:
        names = [group.name for group in compared.groups]
        yield ("param", *names), [[name, *values] for name, values in compared.params.items()]
    if compared.inputs:
        yield ("code and data that differ",), [[name] for name in compared.inputs]
    if flips:
        yield FLIP_HEAD, [_flip_cells(flip) for flip in flips]


def _cells(line: Line) -> list[str]:
    """The cells of a line, from the column `revision` on."""
    deviation = f" ± {line.deviation:.4f}" if line.deviation is not None else ""
    interval = "{:.3f} to {:.3f}".format(*line.interval) if line.interval else ""
    difference = f"{line.test.value:+.4f}" if line.test else ""
    return [line.group.name, f"{line.value:.4f}{deviation}", interval, difference, p_value(line), line.verdict]


def _baseline_cells(line: Line) -> list[str]:
    name, value, _, *test = _cells(line)
    assert line.test
    return [name, line.split, line.score, value, f"{line.value - line.test.value:.4f}", *test]


def _flip_cells(flip: Flip) -> list[str]:
    labels = (one_line(label, 40) for label in (flip.label, flip.before, flip.after))
    return [flip.split, str(flip.row), *labels, " ‖ ".join(map(one_line, flip.texts))]


def _paragraphs(compared: Comparison, flips: Sequence[Flip] | None) -> Iterator[str]:
    """The number of flips, the reasons why scores were not compared, notes, the conclusion, and how to read it."""
    if flips is not None:
        right = sum(flip.after == flip.label for flip in flips)
        yield f"Rows that flipped: {right:,} became right, {len(flips) - right:,} became wrong."
    yield from dict.fromkeys(line.reason for line in compared.lines if line.verdict == comparison.REFUSED)
    yield from compared.notes
    for headline in (compared.headline(), compared.headline(compared.baseline)):
        if headline and headline.test and headline.against:
            says = f"a real {'gain' if headline.test.value > 0 else 'loss'}"
            says = says if headline.verdict == comparison.REAL else headline.verdict
            about = f"{headline.score} on {headline.split} {headline.test.value:+.4f}"
            yield f"{headline.group.name} against {headline.against.name}: {about}, {says}."
    tests = [line.test.test for line in compared.lines if line.test]
    if tests:
        corrected = f"corrected for {len(tests)} comparisons (Holm)" if len(tests) > 1 else "of one comparison"
        yield (
            f"Differences are to the first revision of the task. p: two-sided, {corrected}; by "
            f"{', '.join(TESTS[test] for test in dict.fromkeys(tests))}. real: p < {significance.LEVEL}. "
            "may be chance: not shown to be real, not shown to be equal."
        )
