"""Comparisons of runs made in memory: what is comparable, what is pooled, what is called real."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_runs import splits, task_record

from refit.compare import comparison, flips
from refit.compare.common_rows import why_not
from refit.compare.comparison import Comparison, Line, compare, grouped
from refit.compare.output import pull_request, terminal
from refit.compare.runs import Run
from refit.compare.text import output
from refit.errors import DataError
from refit.repo import Revision

LABELS = np.random.default_rng(0).integers(0, 2, 200)
OTHER_TEST = splits({"validation": 200}) | splits({"test": 200}, sha256="2")


def made(name: str, share: float = 0.7, **changes: Any) -> Run:
    """A run that is right on about a share of 200 rows; any field or param can be another."""
    generator = np.random.default_rng(sum(map(ord, name)))
    rows = changes.pop("rows", np.arange(200))
    labels = changes.pop("labels", LABELS)
    predictions = np.where(generator.random(200) < share, labels, 1 - labels)
    predicted = pa.table({"row": rows, "label": labels, "prediction": predictions})
    task = task_record(splits=splits({"validation": 200, "test": 200}))
    values = {"accuracy": float(np.mean(predictions == labels)), "rows": 200.0}
    revision = Revision(name=name, commit=name, title="")
    fields: dict[str, Any] = {
        "revision": revision, "task_name": "own/t", "inputs": {"code.py": "1"}, "task": task,
        "scores": {"validation": values, "test": values}, "params": {"lr": 1, "seed": changes.pop("seed", 1)},
        "predicted": {"validation": predicted, "test": predicted}, "missing": "", "notes": [], **changes,
    }  # fmt: skip
    return Run(**fields)


def lines_of(compared: Comparison, name: str) -> list[Line]:
    return [line for line in compared.lines if line.group.runs[0].name == name]


def test_runs_that_differ_in_the_seed_alone_are_one_group_and_each_seed_counts_once() -> None:
    """Prevents runs of other or unknown code from being pooled, and a repeated run from shrinking the spread."""
    runs = [
        made("a"), made("again"), made("b", seed=2), made("c", params={"lr": 2, "seed": 1}),
        made("d", inputs={"code.py": "2"}), made("e", inputs=None), made("f", inputs=None, seed=2),
    ]  # fmt: skip
    groups = [[run.name for run in group.runs] for group in grouped(runs)]
    assert groups == [["a", "b"], ["again"], ["c"], ["d"], ["e"], ["f"]]


def test_the_same_predictions_are_never_called_different() -> None:
    """Prevents a difference between a run and its copy."""
    same = made("a")
    compared = compare([same, made("twin", predicted=same.predicted, scores=same.scores)])
    assert {line.verdict for line in lines_of(compared, "twin")} == {comparison.SAME}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rows": np.arange(5, 205)}, "other rows: 200 and 200, of which 195 are the same"),
        ({"task": task_record(labels=["nay", "yes"])}, "other labels: only one of the two has nay, no"),
        (
            {"task": task_record(splits=OTHER_TEST)},
            "other data: the files have another sha256; what changed is not known: a: data/raw/",
        ),
    ],
)
def test_scores_of_other_rows_labels_or_data_are_not_compared(changes: dict[str, Any], reason: str) -> None:
    """Prevents a difference between scores of different questions."""
    first, second = made("a"), made("b", **changes)
    assert str(why_not(first, second, "test")).startswith(reason)
    assert (why_not(first, second, "validation") is None) == ("sha256" in reason)  # one split does not hide another


def test_without_predictions_nothing_is_judged() -> None:
    """Prevents a verdict without a test."""
    compared = compare([made("a"), made("b", 0.9, task=None, predicted={}, missing="b: cannot be fetched")])
    assert {line.verdict for line in lines_of(compared, "b")} == {comparison.UNKNOWN}
    assert all(line.test is None for line in lines_of(compared, "b"))


def test_one_run_is_compared_with_a_group_by_the_test_for_groups() -> None:
    """Prevents a paired test of one seed from standing for all."""
    compared = compare([made("a"), made("b", seed=2), made("c", 0.95, params={"lr": 2, "seed": 1})])
    assert all(line.test and line.test.test.startswith("Welch") for line in lines_of(compared, "c"))


def test_the_headline_is_the_best_score_on_test_of_the_last_run() -> None:
    """Prevents a conclusion about another score than the task's."""
    compared = compare([made("a", 0.5), made("b", 0.9, params={"lr": 2, "seed": 1})])
    headline = compared.headline(compared.lines)
    assert headline is not None
    assert (headline.split, headline.score, headline.group.name) == ("test", "accuracy", "b")
    assert headline.verdict == comparison.REAL


def test_each_task_has_a_first_run_of_its_own() -> None:
    """Prevents differences between scores of two tasks."""
    other = {"task_name": "own/u", "params": {"lr": 3, "seed": 1}}
    compared = compare([made("a"), made("b", **other), made("c", 0.9, **{**other, "params": {"lr": 4, "seed": 1}})])
    assert all(line.test is None for line in lines_of(compared, "b"))
    assert all(line.against and line.against.name == "b" for line in lines_of(compared, "c"))
    assert compared.params == {"lr": ["1", "3", "4"]}


def test_p_values_are_corrected_for_all_comparisons() -> None:
    """Prevents false alarms when many scores are compared."""
    lines = lines_of(compare([made("a"), made("b", 0.75, params={"lr": 2})]), "b")
    assert len(lines) == 2
    assert [line.corrected for line in lines if line.test] == [min(1, 2 * line.test.p) for line in lines if line.test]


def cross_validated(name: str, share: float = 0.7, folds: tuple[int, ...] = (1, 2, 3), **changes: Any) -> list[Run]:
    """The runs of a cross-validation, the last fold first, each with other validation rows."""
    runs = []
    for fold in reversed(folds):
        validation = splits({"validation": 200}, sha256=f"fold {fold}")
        params = {"lr": 1, "seed": 1, "folds": 3, "fold": fold} | changes
        task = task_record(splits=validation | splits({"test": 200}))
        run = made(f"{name}-{fold}", share, task=task, params=params)
        other = made(f"{name}-{fold}", share, labels=np.roll(LABELS, fold))
        for of_run, of_other in ((run.predicted, other.predicted), (run.scores, other.scores)):
            of_run["validation"] = of_other["validation"]  # type: ignore[index]
        runs.append(run)
    return runs


def test_folds_are_one_run_on_validation_and_like_seeds_on_test() -> None:
    """Prevents the mean of the folds' scores in place of the score of all rows, and folds that are called seeds."""
    runs = cross_validated("a")
    compared = compare([*runs, *cross_validated("b", 0.9, lr=2)])
    assert [group.name for group in compared.groups] == ["a-3 and 2 other folds", "b-3 and 2 other folds"]
    test, validation = (line for line in compared.lines if line.group is compared.groups[0])
    assert (validation.rows, validation.deviation, test.rows) == (600, None, 200)
    together = pa.concat_tables(run.predicted["validation"] for run in runs)
    assert validation.value == pytest.approx(np.mean(np.equal(together["label"], together["prediction"])))
    assert validation.interval is not None
    assert test.deviation is not None
    welch, mcnemar = (line.test.test for line in compared.lines if line.test)
    assert welch.startswith("Welch")
    assert mcnemar.startswith("McNemar")
    assert not compared.notes


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        (cross_validated("b", lr=2, folds=(1, 3)), "other folds: 1, 2, 3 and 1, 3"),
        ([made("b", params={"lr": 2, "seed": 1})], "other folds: 1, 2, 3 and none"),
        ([*cross_validated("b", lr=2)[:2], made("b", params={"lr": 2, "seed": 1, "folds": 3, "fold": 1})],
         "other data: the files have another sha256; "),
    ],
)  # fmt: skip
def test_sets_of_folds_are_compared_only_fold_by_fold(others: list[Run], reason: str) -> None:
    """Prevents a paired test in which rows of two folds are paired."""
    compared = compare([*cross_validated("a"), *others])
    (refused,) = (line for line in compared.lines if line.verdict == comparison.REFUSED)
    assert f", validation: {reason}" in refused.reason
    assert all(line.test for line in lines_of(compared, others[0].name) if line.split == "test")


def test_a_cross_validation_may_have_seeds_and_lack_folds() -> None:
    """Prevents a row that counts twice, and missing folds that nobody notices."""
    compared = compare([*cross_validated("a"), *cross_validated("s", seed=2)])
    assert [group.name for group in compared.groups] == ["a-3 and 5 other seeds and folds"]
    (validation,) = (line for line in compared.lines if line.split == "validation")
    assert (validation.rows, validation.deviation is None) == (600, False)
    (note, _) = compare(cross_validated("a", folds=(1, 2))).notes
    assert note == "a-2 and 1 other fold: 2 of 3 folds; validation has only their rows"
    lost = cross_validated("b", lr=2)
    lost[1] = made("lost", params=lost[1].params, task=None, predicted={}, missing="lost: cannot be fetched")
    lines = lines_of(compare([*cross_validated("a"), *lost]), "b-3")
    assert {line.verdict for line in lines} == {comparison.UNKNOWN}


def test_all_folds_are_compared_with_their_baselines() -> None:
    """Prevents a baseline of one fold in place of all."""
    runs = cross_validated("a", 0.9)
    baselines = dict(zip(runs, cross_validated("TF-IDF", 0.5), strict=True))
    compare([made("z"), *cross_validated("s", seed=2), *runs], baselines.__getitem__)  # asked for no other run's
    compared = compare(runs, baselines.__getitem__)
    assert [(line.split, line.verdict) for line in compared.baseline] == [
        ("test", comparison.REAL), ("validation", comparison.REAL)
    ]  # fmt: skip


def test_numbers_cannot_flip() -> None:
    """Prevents a traceback where nothing can flip."""
    runs = [made(name, task=task_record(problem_type="regression", labels=[])) for name in "ab"]
    with pytest.raises(DataError, match="predicts numbers"):
        flips.between(runs)


def flip(text: str) -> dict[str, Any]:
    return {"split": "test", "row": 1, "label": "a|b", "before": "a|b", "after": "b", "text": text}


def test_the_flips_in_markdown_fit_in_a_comment_and_its_tables_are_complete() -> None:
    """Prevents a comment that GitHub refuses because it is too long, and tables that it shows as text."""
    compared = compare([made("a"), made("b", 0.9, params={"lr": 2, "seed": 1})])
    said = pull_request(output(compared, [flip("*" * 300)] * 5_000))
    assert len(said) < 60_000
    assert {line.count("|") for line in said.splitlines() if "accuracy" in line and line[0] == "|"} == {10}
    flipped = [line for line in said.splitlines() if line.startswith("| <code>test</code>")]
    assert {line.count("|") for line in flipped} == {7}
    assert f"The first {len(flipped):,} of 5,000 rows" in said


def test_a_hostile_text_is_inert_in_every_format() -> None:
    """Prevents a text that runs, controls the terminal or mentions somebody."""
    compared = compare([made("a"), made("b", 0.9, params={"lr": 2, "seed": 1})])
    hostile = [flip("<script>alert(1)</script> \x1b[31mred | @team ![x](y)")]
    assert "<script>alert(1)</script> \ufffd[31mred | @team" in terminal(output(compared, hostile))
    said = pull_request(output(compared, hostile))
    assert not any(part in said for part in ("<script", "@team", "![x]", "\x1b"))


def test_the_last_run_is_compared_with_its_baseline() -> None:
    """Prevents a gain over an older run from looking good where a linear model is as good."""
    compared = compare([made("a"), made("b", share=0.9)], lambda run: made("TF-IDF", share=0.5))
    assert {(line.group.name, line.split, line.verdict) for line in compared.baseline} == {
        ("b", "test", comparison.REAL), ("b", "validation", comparison.REAL)
    }  # fmt: skip
    for shown in (terminal(output(compared)), pull_request(output(compared))):
        assert "TF-IDF" in shown
    assert "TF-IDF" not in terminal(output(compare([made("a"), made("b")])))
