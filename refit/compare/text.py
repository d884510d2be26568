"""A comparison of scores as tables and sentences."""

from collections.abc import Iterator, Sequence
from typing import Any

from refit.compare import comparison
from refit.compare.comparison import Comparison, Line
from refit.compare.output import Output, Rows
from refit.evaluation import significance
from refit.evaluation.against_baseline import LINEAR_MODEL

TESTS = {
    significance.MCNEMAR: "McNemar's exact test (accuracy)",
    significance.RANDOMIZATION: f"a randomization test of {significance.DRAWS:,} draws (other scores)",
    significance.WELCH: "Welch's t test with the variance over seeds and rows (groups of runs)",
}


def output(compared: Comparison, flips: Sequence[dict[str, Any]] | None = None) -> Output:
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
             "scores": run.scores, "params": run.params, "group": group.name}
            for group in compared.groups for run in group.runs
        ],
        "params_that_differ": compared.params,
        "code_and_data_that_differ": compared.inputs,
        "notes": compared.notes,
    }  # fmt: skip
    if flips is not None:
        value["flips"] = flips
    return Output("Scores", list(_tables(compared, flips or [])), list(_paragraphs(compared, flips)), value)


def p_value(line: Line) -> str:
    """The corrected p-value as text; empty if there is none."""
    if line.corrected is None:
        return ""
    return "<0.0001" if line.corrected < 0.0001 else f"{line.corrected:.4f}"


def _tables(compared: Comparison, flips: Sequence[dict[str, Any]]) -> Iterator[Rows]:
    """Scores, the baseline, revisions, the params, code and data that differ, and flips."""
    rows, above = [], ("", "", "")
    for line in compared.lines:
        place = (line.task, line.split, line.score)
        shown = ["" if place[: index + 1] == above[: index + 1] else name for index, name in enumerate(place)]
        interval = "{:.3f} to {:.3f}".format(*line.interval) if line.interval else ""
        before = {"revision": line.group.name, "value": _value(line), "95% interval": interval}
        rows.append(dict(zip(("task", "split", "score"), shown, strict=True)) | before | _test(line))
        above = place
    yield rows
    yield [
        {"revision": line.group.name, "split": line.split, "score": line.score, "value": _value(line)}
        | {LINEAR_MODEL: f"{line.value - line.test.value:.4f}" if line.test else ""}
        | _test(line)
        for line in compared.baseline
    ]
    yield [{"revision": run.name, "title": run.revision.title} for group in compared.groups for run in group.runs]
    names = [group.name for group in compared.groups]
    yield [{"param": param, **dict(zip(names, values, strict=True))} for param, values in compared.params.items()]
    yield [{"code and data that differ": name} for name in compared.inputs]
    yield flips


def _value(line: Line) -> str:
    return f"{line.value:.4f}" + (f" ± {line.deviation:.4f}" if line.deviation is not None else "")


def _test(line: Line) -> dict[str, str]:
    difference = f"{line.test.value:+.4f}" if line.test else ""
    return {"difference": difference, "p": p_value(line), "is it real?": line.verdict}


def _paragraphs(compared: Comparison, flips: Sequence[dict[str, Any]] | None) -> Iterator[str]:
    """The number of flips, the reasons why scores were not compared, notes, the conclusion, and how to read it."""
    if flips is not None:
        right = sum(flip["after"] == flip["label"] for flip in flips)
        yield f"Rows that flipped: {right:,} became right, {len(flips) - right:,} became wrong."
    yield from dict.fromkeys(line.reason for line in compared.lines if line.verdict == comparison.REFUSED)
    yield from compared.notes
    for headline in map(compared.headline, (compared.lines, compared.baseline)):
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
