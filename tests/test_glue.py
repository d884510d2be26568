"""The table of many tasks: counts as the leaderboard does, and hides no failure."""

from refit import glue


def scores(**splits: dict[str, float]) -> dict[str, dict[str, float]]:
    return splits


def bert_large() -> dict[str, dict[str, dict[str, float]]]:
    """The row of BERT large on the leaderboard (Devlin et al. 2019, its table 1 and the leaderboard's WNLI)."""
    return {
        "cola": scores(validation={"matthews_correlation": 0.605}),
        "sst2": scores(validation={"accuracy": 0.949}),
        "mrpc": scores(validation={"f1": 0.893, "accuracy": 0.854}),
        "stsb": scores(validation={"pearson": 0.876, "spearmanr": 0.865}),
        "qqp": scores(validation={"f1": 0.721, "accuracy": 0.893}),
        "mnli": scores(validation={"accuracy": 0.867}, validation_mismatched={"accuracy": 0.859}),
        "qnli": scores(validation={"accuracy": 0.927}),
        "rte": scores(validation={"accuracy": 0.701}),
        "wnli": scores(validation={"accuracy": 0.651}),
    }


def test_average_is_the_leaderboards() -> None:
    """A weighted or incomplete mean would not give the 80.5 that the leaderboard shows for this row."""
    average = glue.average(bert_large())
    assert average is not None
    assert round(average, 1) == 80.5


def test_average_needs_all_nine_tasks() -> None:
    """An average of some of the tasks would look like GLUE's and be another number."""
    assert glue.average({name: found for name, found in bert_large().items() if name != "wnli"}) is None


def test_table_has_every_error_and_the_spread_of_seeds() -> None:
    """A failed run that is left out of the table would make the rest look complete."""
    found = bert_large()
    results = {
        ("cola", 1): found["cola"],
        ("cola", 2): scores(validation={"matthews_correlation": 0.505}),
        ("rte", 1): "no network",
    }
    shown = glue.table(results)  # type: ignore[arg-type]
    assert "55.5 ± 7.1" in shown
    assert "rte" in shown
    assert "no network" in shown
    assert "needs all nine tasks" in shown
