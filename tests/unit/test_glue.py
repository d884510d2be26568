"""The table of refit.glue counts as the leaderboard does and hides no failure; wrong arguments are located."""

import pytest
from conftest import ROOT

from refit import glue
from refit.errors import ParamsError


def bert_large() -> dict[str, dict[str, dict[str, float]]]:
    """The row of BERT large on the leaderboard (Devlin et al. 2019, its table 1 and the leaderboard's WNLI)."""
    return {
        "cola": {"validation": {"matthews_correlation": 0.605, "accuracy": 0.9, "rows": 9}},
        "sst2": {"validation": {"accuracy": 0.949}},
        "mrpc": {"validation": {"f1": 0.893, "accuracy": 0.854}},
        "stsb": {"validation": {"pearson": 0.876, "spearmanr": 0.865}},
        "qqp": {"validation": {"f1": 0.721, "accuracy": 0.893}},
        "mnli": {"validation": {"accuracy": 0.867}, "validation_mismatched": {"accuracy": 0.859}},
        "qnli": {"validation": {"accuracy": 0.927}},
        "rte": {"validation": {"accuracy": 0.701}},
        "wnli": {"validation": {"accuracy": 0.651}},
    }


def test_average_is_the_leaderboards() -> None:
    """Prevents a weighted mean (the leaderboard shows 80.5 for this row), and an average of some tasks only."""
    found = bert_large()
    assert round(glue.average(found) or 0, 1) == 80.5
    del found["wnli"]
    assert glue.average(found) is None


def test_table_has_every_error_and_the_spread_of_seeds() -> None:
    """Prevents a table that looks complete and lacks the failed runs."""
    found = bert_large()
    results = {
        ("cola", 1): found["cola"],
        ("cola", 2): {"validation": {"matthews_correlation": 0.505}},
        ("rte", 1): "no network",
    }
    assert glue.table(results).splitlines()[1:] == [
        "cola    validation matthews_correlation  2        55.5 ± 7.1",
        "cola    validation accuracy              1        90.0",
        "rte     seed 1                                    no network",
        "GLUE    average                                   needs all nine tasks with the same seed",
    ]


@pytest.mark.parametrize(
    ("task", "change", "where"),
    [
        ("nope", "lr=1", "--tasks nope: .*cola, mnli"),
        ("cola", "lrr=1", "--set lrr=1: .* lr, "),
        ("cola", "lr", "--set lr: .*PARAM=VALUE"),
        ("cola", "lr=[", r"--set lr=\[: "),
    ],
)
def test_the_command_line_is_read_as_params_yaml_is(task: str, change: str, where: str) -> None:
    """Prevents a traceback for a typo, and 2e-5 from reaching params.yaml as text."""
    with pytest.raises(ParamsError, match=where):
        glue.recipe(ROOT / "recipes/glue", task, [change])
    values = glue.recipe(ROOT / "recipes/glue", "cola", ["lr=2e-5", "stratify=true"])
    assert (values["lr"], values["stratify"], values["task"]) == (2e-5, True, "cola")
