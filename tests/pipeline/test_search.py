"""refit.search with real experiments in a real clone; tests/unit/test_search.py has the rest."""

import subprocess
from pathlib import Path

import numpy as np
import optuna
import pyarrow.parquet as pq
import pytest
from conftest import change_params, environment, experiments, kill_tree, run, start, tiny_project, wait_until
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from refit import params, search
from refit.params import Search
from refit.storage import files

optuna.logging.set_verbosity(optuna.logging.WARNING)


def space(trials: int) -> dict[str, object]:
    return {
        "trials": trials, "train_share": 1.0, "seed": 7, "prune": False,
        "space": {"lr": {"low": 0.001, "high": 0.02, "log": True}, "seed": [1, 2]},
    }  # fmt: skip


def prepared(folder: Path, model: Path, trials: int, epochs: int = 1, **changes: object) -> Path:
    tiny_project(folder, model, epochs=epochs)
    change_params(folder / "params.yaml", search=space(trials) | changes)
    run("dvc", "repro", "sample", "download_model", cwd=folder)
    run("git", "commit", "--quiet", "--all", "--message", "a search", cwd=folder)
    return folder


def study_of(storage: Path) -> optuna.Study:
    place = optuna.storages.JournalStorage(JournalFileBackend(str(storage)))
    name = optuna.study.get_all_study_names(place)[0]
    return optuna.load_study(study_name=name, storage=place)


def workspace(folder: Path) -> dict[Path, int]:
    """When each file that a person or DVC's stages keep here was written."""
    kept = [path for name in ("data", "models", "metrics") for path in (folder / name).rglob("*")]
    return {path: path.stat().st_mtime_ns for path in [*kept, folder / "params.yaml", folder / "dvc.lock"]}


def test_trials_are_experiments_and_predict_takes_one(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents a search that changes the workspace, repeats a trial, or whose models cannot be used."""
    folder = prepared(tmp_path / "project", tiny_model, 2)
    before = workspace(folder)
    done = run("python", "-m", "refit.search", cwd=folder)
    assert workspace(folder) == before
    study = study_of(folder / ".refit/search/journal.log")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2
    names = [trial.user_attrs["experiment"] for trial in study.trials]
    shown = run("dvc", "exp", "list", "--name-only", cwd=folder).stdout.split()
    assert set(names) <= set(shown)
    assert all("-lr-" in name and "-seed-" in name for name in names)
    assert run("git", "status", "--porcelain", cwd=folder).stdout == ""
    best = study.best_trial.user_attrs["experiment"]
    assert f"dvc exp apply {best}" in done.stdout
    assert "\ntrial" not in run("python", "-m", "refit.search", cwd=folder).stdout
    asked = ("--model", best, "--split", "validation", "--out", "out.parquet")
    run("python", "-m", "refit.predict", *asked, cwd=folder)
    run("dvc", "exp", "apply", best, cwd=folder)
    run("dvc", "checkout", cwd=folder)
    applied = params.values(folder / "params.yaml")
    assert {key: applied[key] for key in study.best_params} == study.best_params
    scores = files.read_json(folder / "metrics/scores.json")["own/tiny"]["validation"]
    assert scores["accuracy"] == study.best_value
    scored = pq.read_table(folder / "metrics/predictions.parquet")
    scored = scored.filter(np.array(scored["split"].to_pylist()) == "validation")
    predicted = pq.read_table(folder / "out.parquet")
    assert scored["probabilities"].to_pylist() == predicted["probabilities"].to_pylist()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_clones_share_one_study(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents two machines from running a trial twice, losing one, or running too many."""
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
    trials = [trial for trial in study.trials if trial.state != TrialState.FAIL]
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert len({tuple(sorted(trial.params.items())) for trial in trials}) == 4
    ran = [trial.user_attrs["experiment"] for trial in trials]
    there = [set(run("dvc", "exp", "list", "--name-only", cwd=clone).stdout.split()) for clone in clones]
    assert there[0] | there[1] == set(ran)
    assert not there[0] & there[1]
    assert all(there)
    logs = [log for clone in clones for log in clone.glob(".refit/search/*.log")]
    assert sorted(log.stem for log in logs) == sorted(ran)  # no trial was begun in both


def wait_for_log(folder: Path, trial: int, text: str) -> None:
    """Wait until the log of a trial says something."""
    logs = f".refit/search/*-{trial:02}-*.log"
    wait_until(lambda: any(text in log.read_text() for log in folder.glob(logs)), text, seconds=900)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_killed_search_goes_on(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents a killed search from losing or repeating a trial: finished, interrupted, or still running."""
    folder = prepared(tmp_path / "project", tiny_model, 3, epochs=60)
    command = ("python", "-m", "refit.search")
    journal = folder / ".refit/search/journal.log"
    first = start(*command, cwd=folder)
    wait_for_log(folder, 1, "epoch 3 of 60")
    kill_tree(first)  # in the middle of the second trial
    before = study_of(journal)
    assert [trial.state for trial in before.trials] == [TrialState.COMPLETE, TrialState.RUNNING]
    ended = experiments(folder, "own-tiny-")
    assert list(ended) == [before.trials[0].user_attrs["experiment"]]

    second = start(*command, cwd=folder)
    wait_for_log(folder, 2, "epoch 3 of 60")
    second.kill()  # alone: its third trial runs on
    second.wait()
    last = run(*command, cwd=folder)
    after = study_of(journal)
    assert [trial.state for trial in after.trials] == [TrialState.COMPLETE] * 3
    assert after.trials[0].datetime_complete == before.trials[0].datetime_complete
    assert after.trials[1].params == before.trials[1].params
    assert len({str(trial.params) for trial in after.trials}) == 3
    assert set(experiments(folder, "own-tiny-")) == {trial.user_attrs["experiment"] for trial in after.trials}
    assert ended.items() <= experiments(folder, "own-tiny-").items()
    (log,) = folder.glob(".refit/search/*-01-*.log")
    assert "resuming from step" in log.read_text()  # not from the start
    assert "is still running; waiting for it" in last.stderr
    assert last.stdout.count("\ntrial") == 1  # what ended is not told again
    (log,) = folder.glob(".refit/search/*-02-*.log")
    assert log.read_text().count("epoch 3 of 60") == 1  # and did not run twice
    reported = after.trials[1].intermediate_values
    assert max(reported) == 60  # counted on after the kill, not anew


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hopeless_trial_ends_early(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents a trial that learns nothing from running to its end, or from counting as failed."""
    rates = [0.01, 0.008, 0.006, 1e-7]
    folder = prepared(tmp_path / "project", tiny_model, 4, epochs=60, prune=True, space={"lr": rates})
    journal = folder / ".refit/search/journal.log"
    study = search.open_study("mine", str(journal), Search())
    for rate in rates[:3]:
        good = {"value": 1.0, "intermediate_values": dict.fromkeys(range(1, 61), 1.0)}
        distributions = {"lr": optuna.distributions.CategoricalDistribution(rates)}
        study.add_trial(optuna.create_trial(params={"lr": rate}, distributions=distributions, **good))
    done = run("python", "-m", "refit.search", "--study", "mine", cwd=folder, check=False)
    trial = study_of(journal).trials[-1]
    assert (trial.state, trial.params) == (TrialState.PRUNED, {"lr": 1e-7})
    evaluations = len(trial.intermediate_values)
    assert evaluations < 40
    assert f"pruned after {evaluations} evaluations" in done.stdout
    name = trial.user_attrs["experiment"]
    assert "epoch 60 of 60" not in (folder / f".refit/search/{name}.log").read_text()
    assert name not in experiments(folder, "mine-")
