"""Compare runs with the first of them: which are comparable, what differs, and which differences are real."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from refit.compare.common_rows import why_not
from refit.compare.runs import Run, scores_of
from refit.evaluation import bootstrap, significance
from refit.evaluation.metrics import SCORES
from refit.evaluation.predictions import arrays
from refit.params import formatted

REAL = "real"
CHANCE = "may be chance"
SAME = "same predictions"
UNKNOWN = "unknown"  # the predictions are not available
REFUSED = "not compared"  # the examples are not the same


@dataclass(frozen=True, eq=False)
class Group:
    """One run, or several that differ only in `seed` and `fold`."""

    runs: list[Run]

    @property
    def name(self) -> str:
        """The name of the first run, and the number of others."""
        others = len(self.runs) - 1
        what = " and ".join(name + "s" * (others > 1) for name in self.varied)
        return self.runs[0].name + (f" and {others} other {what}" if others else "")

    @property
    def varied(self) -> list[str]:
        """The params in which the runs differ."""
        return [name for name in ("seed", "fold") if len({run.params.get(name) for run in self.runs}) > 1]

    def of(self, split: str) -> list[Run]:
        """The runs to score on a split: on validation, the folds of each seed are one run."""
        if split != "validation" or not self.runs[0].params.get("folds"):
            return self.runs
        seeds = dict.fromkeys(run.params.get("seed") for run in self.runs)
        return [_pooled([run for run in self.runs if run.params.get("seed") == seed]) for seed in seeds]


@dataclass(frozen=True)
class Line:
    """One score of one group on one split, and its difference to the first group of the task.

    `deviation` is the standard deviation over the seeds of a group (on test over its folds, too), `interval` a single
    run's 95% interval. `against` is the first group, or None if this is it. `corrected` is the p-value of `test` after
    Holm's correction over all lines. Unavailable values are None; `reason` says why there is no test.
    """

    task: str
    split: str
    score: str
    rows: int
    group: Group
    value: float
    deviation: float | None = None
    interval: tuple[float, float] | None = None
    against: Group | None = None
    test: significance.Difference | None = None
    corrected: float | None = None
    verdict: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """Everything that compare prints.

    `last` is the group of the last revision given, `baseline` its lines against the baseline, if that is available.
    """

    groups: list[Group]
    lines: list[Line]
    last: Group
    baseline: list[Line]
    params: dict[str, list[str]]  # those that differ, with one value per group
    inputs: list[str]  # code and data that differ
    notes: list[str]

    def headline(self, lines: Sequence[Line]) -> Line | None:
        """Of some lines, that of the task's main score for the last group, on test if it has labels, if it is known."""
        task = self.last.runs[0].task
        found = (line for line in lines if line.group is self.last and task and line.score == task.best_score)
        return next(found, None)


def compare(runs: Sequence[Run], baseline_of: Callable[[Run], Run | None] = lambda run: None) -> Comparison:
    """Group the runs, then compare every group with the first one of its task, and the last one with its baseline."""
    groups = grouped(runs)
    tasks = dict.fromkeys(run.task_name for run in runs)
    lines = (line for task in tasks for line in _lines([of for of in groups if of.runs[0].task_name == task]))
    last = next(group for group in groups if runs[-1] in group.runs)
    folds = (run for run in last.runs if run.params.get("seed") == runs[-1].params.get("seed"))
    baselines = [baseline for run in folds if (baseline := baseline_of(run))]
    return Comparison(
        groups=groups,
        lines=_judged(lines),
        last=last,
        baseline=[line for line in _judged(_lines([Group(baselines), last])) if line.test] if baselines else [],
        params=_params_that_differ(groups),
        inputs=_inputs_that_differ(runs),
        notes=list(_notes(runs, groups)),
    )


def grouped(runs: Sequence[Run]) -> list[Group]:
    """Pool runs that differ only in `seed` and `fold`; every other run, and a repeated one, is its own group."""
    pools: dict[str, dict[Any, Run]] = {}
    for place, run in enumerate(runs):
        others = sorted((name, value) for name, value in run.params.items() if name not in ("seed", "fold"))
        key, seed = repr((run.task_name, others, run.inputs)), run.params.get("seed")
        seed_and_fold = seed, run.params.get("fold")
        if run.inputs is None or seed is None or seed_and_fold in pools.get(key, {}):
            key = f"run {place}"
        pools.setdefault(key, {})[seed_and_fold] = run
    return [Group(list(pool.values())) for pool in pools.values()]


def _params_that_differ(groups: list[Group]) -> dict[str, list[str]]:
    """Each param with more than one value: one text per group, which lists all seeds of the group."""
    names = dict.fromkeys(name for group in groups for run in group.runs for name in run.params)
    values = {
        name: [", ".join(dict.fromkeys(formatted(run.params.get(name, "-")) for run in group.runs)) for group in groups]
        for name in names
    }
    return {name: of for name, of in values.items() if len(set(of)) > 1}


def _inputs_that_differ(runs: Sequence[Run]) -> list[str]:
    """The code and data that differ between the runs, without what the pipeline computes from them."""
    known = [run.inputs for run in runs if run.inputs is not None]
    names = sorted({name for of in known for name in of})
    return [name for name in names if len({of.get(name) for of in known}) > 1]


def _pooled(runs: list[Run]) -> Run:
    """The folds of a cross-validation as one run, which on validation has predicted all their rows.

    Its scores are those of all predictions together, or if predictions are missing the mean of the folds' scores.
    """
    folds = sorted(runs, key=lambda run: int(run.params["fold"]))
    scores = [run.scores["validation"] for run in folds]
    values = {name: float(np.mean([of[name] for of in scores])) for name in scores[0]}
    values["rows"] = sum(of["rows"] for of in scores)
    predicted, missing = {}, next((run.missing for run in folds if run.missing), "")
    if folds[0].task and not missing:
        predicted["validation"] = pa.concat_tables(run.predicted["validation"] for run in folds)
        values |= scores_of(folds[0].task, predicted["validation"])
    return replace(folds[0], scores={"validation": values}, predicted=predicted, missing=missing, folds=tuple(folds))


def _lines(groups: list[Group]) -> Iterator[Line]:
    """Every score of the groups of one task: on test first, because no model was chosen on it."""
    scores = {(split, name) for group in groups for split, of in group.runs[0].scores.items() for name in of}
    for split, name in sorted(scores):
        if name not in SCORES:  # the loss, the number of rows
            continue
        having = [group for group in groups if name in group.runs[0].scores.get(split, {})]
        for group in having:
            line = _line(split, name, group)
            yield line if group is having[0] else _compared(line, having[0])


def _line(split: str, name: str, group: Group) -> Line:
    runs = group.of(split)
    run = runs[0]
    values = [of.scores[split][name] for of in runs]
    line = Line(run.task_name, split, name, int(run.scores[split]["rows"]), group, float(np.mean(values)))
    if len(values) > 1:
        return replace(line, deviation=float(np.std(values, ddof=1)))
    if run.predicted:
        return replace(line, interval=bootstrap.interval(name, *arrays(run.predicted[split])))
    return line


def _compared(line: Line, first: Group) -> Line:
    """The line with a significance test of its difference to the first group, or the reason why there is none."""
    line = replace(line, against=first)
    runs, firsts = [*first.of(line.split), *line.group.of(line.split)], len(first.of(line.split))
    if missing := next((run.missing for run in runs if run.missing), None):
        return replace(line, verdict=UNKNOWN, reason=missing)
    if refused := next((why for run in runs[1:] if (why := why_not(runs[0], run, line.split))), None):
        return replace(line, verdict=REFUSED, reason=f"{line.group.name} against {first.name}, {line.split}: {refused}")
    labels, _ = arrays(runs[0].predicted[line.split])
    predictions = [arrays(run.predicted[line.split])[1] for run in runs]
    if len(runs) > 2:
        sides = predictions[:firsts], predictions[firsts:]
        return replace(line, test=significance.group_difference(line.score, labels, *sides))
    same = SAME if np.array_equal(predictions[0], predictions[1]) else ""
    return replace(line, test=significance.difference(line.score, labels, *predictions), verdict=same)


def _judged(lines: Iterable[Line]) -> list[Line]:
    """The lines with their corrected p-values and verdicts."""
    lines = list(lines)
    corrected = iter(significance.holm([line.test.p for line in lines if line.test]))
    judged = []
    for line in lines:
        if line.test:
            p = next(corrected)
            line = replace(line, corrected=p, verdict=line.verdict or (REAL if p < significance.LEVEL else CHANCE))
        judged.append(line)
    return judged


def _notes(runs: Sequence[Run], groups: list[Group]) -> Iterator[str]:
    for run in runs:
        yield from run.notes
        if run.missing:
            yield f"{run.missing}. Intervals and differences need the predictions"
    for group in groups:
        found, folds = len({run.params.get("fold") for run in group.runs}), group.runs[0].params.get("folds") or 0
        if 1 < found < folds:
            yield f"{group.name}: {found} of {folds} folds; validation has only their rows"
    if len(groups) == 1 and len(runs) > 1:
        varied = " and ".join(groups[0].varied)
        yield f"These runs differ only in their {varied}: there is nothing to compare; their spread is due to chance"
