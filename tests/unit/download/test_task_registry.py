"""The task table: every row can be used by the stages as it is."""

import re

import pytest

from refit.download.task_registry import TASKS, Hub, Own, find
from refit.errors import ParamsError
from refit.evaluation.metrics import SCORES

TUTORIALS = {"yelp", "cola", "mnli", "mnli-mm", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb", "wnli", "ax", "afqmc"}


@pytest.mark.parametrize("name", TASKS)
def test_a_row_is_complete(name: str) -> None:
    """Prevents a task that only fails after its model is trained."""
    task = TASKS[name]
    assert all(SCORES[score].is_regression == (task.problem_type == "regression") for score in task.scores)
    assert "train" in task.splits
    if isinstance(task.source, Hub) and name != "afqmc":
        assert re.fullmatch("[0-9a-f]{40}", task.source.revision)
    if name.endswith("_stars"):
        assert not any(SCORES[score].two_classes_only for score in task.scores)
    assert task.leaderboard is None or set(task.leaderboard.files) <= set(task.splits)


def test_the_tutorials_tasks_are_all_there() -> None:
    """Prevents losing one of them."""
    assert set(TASKS) >= TUTORIALS


def test_a_typo_gets_a_suggestion() -> None:
    """Prevents a bare KeyError."""
    with pytest.raises(ParamsError, match="unknown task 'rtee'; did you mean rte"):
        find("rtee")


def test_own_names_take_letters_digits_and_dashes() -> None:
    """Prevents refusing a plain folder name."""
    source = find("own/my-reviews_2").source
    assert isinstance(source, Own)
    assert source.folder.as_posix() == "data/own/my-reviews_2"
