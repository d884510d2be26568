"""The task table: every row can be used by the stages as it is."""

import re

import pytest

from refit.download.task_registry import TASKS, find
from refit.errors import ParamsError
from refit.evaluation.metrics import SCORES

TUTORIALS = {"yelp", "cola", "mnli", "mnli-mm", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb", "wnli", "ax", "afqmc"}


@pytest.mark.parametrize("name", TASKS)
def test_a_row_is_complete(name: str) -> None:
    """Prevents a task that only fails after its model is trained."""
    task = TASKS[name]
    scores = [SCORES[score] for score in task.scores]
    assert all(score.is_regression == (task.problem_type == "regression") for score in scores)
    assert not (name.endswith("_stars") and any(score.two_classes_only for score in scores))
    assert "train" in task.splits
    if task.source.kind == "hub" and name != "afqmc":
        assert re.fullmatch("[0-9a-f]{40}", task.source.revision)
    assert task.leaderboard is None or set(task.leaderboard.files) <= set(task.splits)


def test_names_are_found_or_refused() -> None:
    """Prevents losing a tutorial's task, refusing a plain folder name, and a bare KeyError."""
    assert set(TASKS) >= TUTORIALS
    assert find("own/my-reviews_2").source.name == "own/my-reviews_2"
    with pytest.raises(ParamsError, match="unknown task 'rtee'; choose one of afqmc, ax, "):
        find("rtee")
