"""refit.search: real trials in a real clone, each once, and a study that goes on where it was stopped."""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import optuna
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, change_params, environment, run, tiny_project
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from refit import params, search, search_page
from refit.errors import ParamsError
from refit.params import Range, Search

optuna.logging.set_verbosity(optuna.logging.WARNING)


def space(trials: int) -> dict[str, object]:
    return {
        "trials": trials, "train_share": 1.0, "seed": 7, "prune": False,
        "space": {"lr": {"low": 0.001, "high": 0.02, "log": True}, "seed": [1, 2]},
    }  # fmt: skip


def prepared(folder: Path, model: Path, trials: int) -> Path:
    tiny_project(folder, model, epochs=1)
    change_params(folder / "params.yaml", search=space(trials))
    run("dvc", "repro", "sample", "download_model", cwd=folder)
    run("git", "commit", "--quiet", "--all", "--message", "a search", cwd=folder)
    return folder


def study_of(storage: Path) -> optuna.Study:
    place = optuna.storages.JournalStorage(JournalFileBackend(str(storage)))
    name = optuna.study.get_all_study_names(place)[0]
    return optuna.load_study(study_name=name, storage=place)


def test_trials_are_experiments_and_predict_takes_one(tmp_path: Path, tiny_model: Path) -> None:
    """The search must leave the workspace alone, name its trials, never repeat one, and its models must be usable."""
    folder = prepared(tmp_path / "project", tiny_model, 2)
    done = run("python", "-m", "refit.search", cwd=folder)
    study = study_of(folder / ".refit/search/journal.log")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2
    names = [trial.user_attrs["experiment"] for trial in study.trials]
    shown = run("dvc", "exp", "list", "--name-only", cwd=folder).stdout.split()
    assert set(names) <= set(shown)
    assert all("-lr-" in name and "-seed-" in name for name in names)
    assert run("git", "status", "--porcelain", cwd=folder).stdout == ""
    assert f"dvc exp apply {study.best_trial.user_attrs['experiment']}" in done.stdout
    page = (folder / f".refit/search/{study.study_name}.html").read_text()
    assert "History" in page
    assert "Slice: lr" in page
    again = run("python", "-m", "refit.search", cwd=folder)
    assert "\ntrial" not in again.stdout
    run(
        "python",
        "-m",
        "refit.predict",
        "--model",
        names[0],
        "--split",
        "validation",
        "--out",
        "out.parquet",
        cwd=folder,
    )
    run("dvc", "exp", "apply", names[0], cwd=folder)
    run("dvc", "checkout", cwd=folder)
    scored = pq.read_table(folder / "metrics/predictions.parquet")
    scored = scored.filter(np.array(scored["split"].to_pylist()) == "validation")
    predicted = pq.read_table(folder / "out.parquet")
    assert scored["probabilities"].to_pylist() == predicted["probabilities"].to_pylist()


@pytest.mark.slow
def test_two_clones_share_one_study(tmp_path: Path, tiny_model: Path) -> None:
    """Two machines at one study must share the work: no trial twice, none lost, none more than asked for."""
    url = f"sqlite:///{tmp_path}/study.db"
    clones = [prepared(tmp_path / name, tiny_model, 4) for name in ("one", "two")]
    running = [
        subprocess.Popen(
            ["python", "-m", "refit.search", "--storage", url], cwd=clone, env=environment(), stdout=subprocess.PIPE,
            text=True,
        )
        for clone in clones
    ]  # fmt: skip
    output = [process.communicate(timeout=900)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], output
    study = optuna.load_study(study_name=None, storage=url)
    trials = [trial for trial in study.trials if "skipped" not in trial.user_attrs]
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert len({tuple(sorted(trial.params.items())) for trial in trials}) == 4
    ran = [trial.user_attrs["experiment"] for trial in trials]
    there = [set(run("dvc", "exp", "list", "--name-only", cwd=clone).stdout.split()) for clone in clones]
    assert there[0] | there[1] == set(ran)
    assert not there[0] & there[1]
    assert all(there)


@pytest.mark.slow
def test_a_killed_search_goes_on(tmp_path: Path, tiny_model: Path) -> None:
    """A trial that a killed search had begun must end as the same trial, and finished ones must not run again."""
    folder = prepared(tmp_path / "project", tiny_model, 2)
    killed = subprocess.Popen(["python", "-m", "refit.search"], cwd=folder, env=environment(), start_new_session=True)
    journal = folder / ".refit/search/journal.log"
    deadline = time.monotonic() + 600
    while not list(folder.glob(".refit/search/*-01-*.log")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(3)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    before = study_of(journal)
    assert [trial.state for trial in before.trials] == [TrialState.COMPLETE, TrialState.RUNNING]
    run("python", "-m", "refit.search", cwd=folder)
    after = study_of(journal)
    assert [trial.state for trial in after.trials] == [TrialState.COMPLETE] * 2
    assert after.trials[1].params == before.trials[1].params
    assert after.trials[0].datetime_complete == before.trials[0].datetime_complete


def test_proposals_are_the_same_for_the_same_history() -> None:
    """A search that was stopped must go on as it would have, and two processes must not propose the same."""
    asked = Search.model_validate(space(4))

    def first_three() -> list[dict[str, object]]:
        study = optuna.create_study(direction="maximize")
        proposed = []
        for _ in range(3):
            trial = study.ask()
            proposed.append(search.propose(trial, asked))
            study.tell(trial, 0.5)
        return proposed

    assert first_three() == first_three()
    assert len({str(values) for values in first_three()}) == 3


def test_default_is_the_tutorials_search() -> None:
    """The file that a newcomer runs must ask for the tutorials' search, and so must one without `search:`."""
    assert params.load_search(ROOT / "params.yaml") == Search()
    assert Search().trials == 10
    assert search.train_rows(1000, Search().train_share) == 100
    assert Search().space["lr"] == Range(low=1e-6, high=1e-4, log=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trials": 0}, "search.trials"),
        ({"space": {"learning": [1]}}, "no such param"),
        ({"space": {"lr": {"low": 0.1, "high": 0.01}}}, "need low < high"),
        ({"space": {"lr": [2.0]}}, "cannot be tried"),
        ({"speed": 1}, "search.speed"),
    ],
)
def test_bad_search_is_named(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    """A typo in the space would be searched for hours, or fail in every trial."""
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    change_params(path, search={**space(2), **changes})
    with pytest.raises(ParamsError, match=said):
        params.load(params.Evaluate, path)


def test_page_shows_history_importance_slices_and_escapes() -> None:
    """The picture is what people decide by, and names in it may hold markup."""
    study = optuna.create_study(direction="maximize", study_name="<b>")
    for number in range(6):
        trial = study.ask()
        trial.set_user_attr("experiment", f"trial-{number}")
        lr = trial.suggest_float("lr", 1e-5, 1e-2, log=True)
        trial.suggest_categorical("batch_size", [8, 16])
        study.tell(trial, lr * 50)
    page = search_page.page(study)
    assert "<b>" not in page
    for title in ("History", "Importance", "Slice: lr", "Slice: batch_size"):
        assert title in page
    assert "<script" not in page
