"""Compare runs with the first of them: which are comparable, what differs, and which differences are real."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refit import paths
from refit.compare.runs import Run
from refit.escaping import one_line
from refit.evaluation import bootstrap, significance
from refit.params import formatted

REAL = "real"
CHANCE = "may be chance"
SAME = "same predictions"
UNKNOWN = "unknown"  # the predictions are not available
REFUSED = "not compared"  # the examples are not the same


@dataclass(frozen=True, eq=False)
class Group:
    """One run, or several that differ only in `seed`; `repeats` are further runs of the same seeds, not counted."""

    runs: list[Run]
    repeats: list[Run]

    @property
    def name(self) -> str:
        """The name of the first run, and the number of others."""
        others = len(self.runs) - 1
        return self.runs[0].name + (f" and {others} other seed{'s' * (others > 1)}" if others else "")


@dataclass(frozen=True)
class Line:
    """One score of one group on one split, and its difference to the first group of the task.

    `against` is that first group, or None if this is it. `deviation` is the standard deviation over the seeds of a
    group; `low` and `high` are the ends of a single run's 95% interval. `corrected` is the p-value of `difference`
    after Holm's correction over all lines. Unavailable values are None; `reason` says why.
    """

    task: str
    split: str
    score: str
    rows: int
    group: Group
    value: float
    against: Group | None = None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    test: significance.Difference | None = None
    corrected: float | None = None
    verdict: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """Everything that compare prints. `first` and `last` are the groups of the first and the last revision given."""

    groups: list[Group]
    lines: list[Line]
    first: Group
    last: Group
    params: dict[str, list[str]]  # those that differ, with one value per group
    inputs: list[str]  # code and data that differ
    notes: list[str]

    @property
    def runs(self) -> list[Run]:
        """Every run, group by group."""
        return [run for group in self.groups for run in [*group.runs, *group.repeats]]

    def headline(self) -> Line | None:
        """The line of the task's main score for the last group, on test if it has labels."""
        lines = [line for line in self.lines if line.group is self.last]
        return next((line for line in lines if line.score == self.last.runs[0].best_score), None)


def compare(runs: Sequence[Run]) -> Comparison:
    """Group the runs, then compare every group with the first one of its task."""
    groups = grouped(runs)
    lines = [line for task in dict.fromkeys(run.task_name for run in runs) for line in _lines_of_task(task, groups)]
    tested = [line.test.p for line in lines if line.test]
    corrected = iter(significance.holm(tested))
    lines = [_judged(line, next(corrected)) if line.test else line for line in lines]
    return Comparison(
        groups=groups,
        lines=lines,
        first=groups[0],
        last=next(group for group in groups if runs[-1] in [*group.runs, *group.repeats]),
        params=_params_that_differ(groups),
        inputs=_inputs_that_differ(groups),
        notes=[*_notes(runs), *_repeats(groups), *_only_seeds(groups)],
    )


def grouped(runs: Sequence[Run]) -> list[Group]:
    """Pool runs that differ only in `seed`, counting each seed once; every other run is its own group."""
    alike: dict[str, list[Run]] = {}
    for place, run in enumerate(runs):
        others = {name: value for name, value in run.params.items() if name != "seed"}
        known = run.inputs is not None and "seed" in run.params
        alike.setdefault(repr((run.task_name, sorted(others.items()), sorted((run.inputs or {}).items())))
                         if known else f"run {place}", []).append(run)  # fmt: skip
    groups = []
    for same in alike.values():
        of_seed: dict[Any, Run] = {}
        for run in same:
            of_seed.setdefault(run.params.get("seed"), run)
        if len(of_seed) > 1:
            counted = list(of_seed.values())
            groups.append(Group(runs=counted, repeats=[run for run in same if run not in counted]))
        else:
            groups += [Group(runs=[run], repeats=[]) for run in same]
    return sorted(groups, key=lambda group: runs.index(group.runs[0]))


def why_not(first: Run, second: Run, split: str) -> str | None:
    """Why the scores of two runs on a split are not comparable; None if they are."""
    if first.task and second.task:
        names = [run.task.labels or ["numbers"] for run in (first, second) if run.task]
        if names[0] != names[1]:
            only = ", ".join(sorted(set(names[0]) ^ set(names[1])))
            return one_line(f"other labels: only one of the two has {only}" if only else "other order of labels")
        hashes = [
            run.task.splits[split].sha256 if split in run.task.splits else "" for run in (first, second) if run.task
        ]
        if hashes[0] != hashes[1]:
            return f"other data: the {split} rows have the sha256 {hashes[0][:12]}… and {hashes[1][:12]}…"
    else:
        described = [(run.inputs or {}).get(paths.TASK.as_posix()) for run in (first, second)]
        if described[0] != described[1]:
            return f"other data: {paths.TASK} differs, and cannot be fetched to see how"
    counts = [int(run.scores[split]["rows"]) for run in (first, second)]
    if first.predicted and second.predicted:
        one, other = first.predicted[split], second.predicted[split]
        if not np.array_equal(one.rows, other.rows):
            both = len(np.intersect1d(one.rows, other.rows))
            return f"other rows: {counts[0]:,} and {counts[1]:,}, of which {both:,} are the same"
        if not np.array_equal(one.labels, other.labels):
            return f"other labels of the same rows: {int(np.sum(one.labels != other.labels)):,} differ"
    elif counts[0] != counts[1]:
        return f"other rows: {counts[0]:,} and {counts[1]:,}"
    return None


def _lines_of_task(task: str, groups: list[Group]) -> Iterator[Line]:
    groups = [group for group in groups if group.runs[0].task_name == task]
    splits = dict.fromkeys(split for group in groups for split in group.runs[0].scores)
    for split in sorted(splits, key=lambda name: name != "test"):  # test first, because no model was chosen on it
        having = [group for group in groups if split in group.runs[0].scores]
        for name in dict.fromkeys(name for group in having for name in _score_names(group.runs[0], split)):
            with_score = [group for group in having if name in group.runs[0].scores[split]]
            for group in with_score:
                line = _line(task, split, name, group)
                yield line if group is with_score[0] else _compared(line, with_score[0])


def _score_names(run: Run, split: str) -> list[str]:
    return run.task.scores if run.task else [name for name in run.scores[split] if name not in ("loss", "rows")]


def _line(task: str, split: str, name: str, group: Group) -> Line:
    values = [run.scores[split][name] for run in group.runs]
    rows = int(group.runs[0].scores[split]["rows"])
    line = Line(task=task, split=split, score=name, rows=rows, group=group, value=float(np.mean(values)))
    if len(values) > 1:
        return replace(line, deviation=float(np.std(values, ddof=1)))
    predicted = group.runs[0].predicted
    if predicted:
        low, high = bootstrap.interval(name, predicted[split].labels, predicted[split].predictions)
        return replace(line, low=low, high=high)
    return line


def _compared(line: Line, first: Group) -> Line:
    """The line with its difference to the first group and a significance test, or the reason why there is none."""
    line = replace(line, against=first)
    split, name = line.split, line.score
    runs = [*first.runs, *line.group.runs]
    refused = next((why for run in runs[1:] if (why := why_not(runs[0], run, split))), None)
    if refused:
        return replace(line, verdict=REFUSED, reason=f"{line.group.name} against {first.name}, {split}: {refused}")
    value = line.value - float(np.mean([run.scores[split][name] for run in first.runs]))
    missing = next((run.missing for run in runs if run.missing), "")
    if missing:
        return replace(line, difference=value, verdict=UNKNOWN, reason=missing)
    labels = runs[0].predicted[split].labels if runs[0].predicted else np.array([])
    before, after = (
        [run.predicted[split].predictions for run in group.runs if run.predicted] for group in (first, line.group)
    )
    if len(before) == len(after) == 1:
        test = significance.difference(name, labels, before[0], after[0])
        verdict = SAME if np.array_equal(before[0], after[0]) else ""
    else:
        test, verdict = significance.group_difference(name, labels, before, after), ""
    return replace(line, difference=value, test=test, verdict=verdict)


def _judged(line: Line, corrected: float) -> Line:
    verdict = line.verdict or (REAL if corrected < significance.LEVEL else CHANCE)
    return replace(line, corrected=corrected, verdict=verdict)


def _params_that_differ(groups: list[Group]) -> dict[str, list[str]]:
    """Each param with more than one value: one text per group, which lists all seeds of the group."""
    names = dict.fromkeys(name for group in groups for run in group.runs for name in run.params)
    values = {
        name: [", ".join(dict.fromkeys(formatted(run.params.get(name, "-")) for run in group.runs)) for group in groups]
        for name in names
    }
    return {name: of for name, of in values.items() if len(set(of)) > 1 or (name == "seed" and "," in of[0])}


def _inputs_that_differ(groups: list[Group]) -> list[str]:
    """The code and data that differ between the runs, without what the pipeline computes from them."""
    made = (paths.TOKENIZED, paths.SAMPLED)
    inside = (paths.RAW, paths.BASE_MODEL)
    known = [run.inputs for group in groups for run in group.runs if run.inputs is not None]
    names = sorted({name for of in known for name in of})
    return [
        name
        for name in names
        if len({of.get(name) for of in known}) > 1
        and not name.startswith(tuple(folder.as_posix() for folder in made))
        and not name.startswith(tuple(f"{folder.as_posix()}/" for folder in inside))
    ]


def _notes(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        yield from run.notes
        if run.missing:
            yield f"{run.missing}. Intervals, and whether a difference is real, need the predictions"


def _repeats(groups: list[Group]) -> Iterator[str]:
    for group in groups:
        for run in group.repeats:
            yield f"{run.name}: its seed {run.params['seed']} is counted in the group of {group.runs[0].name} already"


def _only_seeds(groups: list[Group]) -> Iterator[str]:
    if len(groups) == 1 and len(groups[0].runs) > 1:
        yield "These runs differ only in their seed: there is nothing to compare; their spread is due to chance"
