"""The proposals and the bookkeeping of a search, with experiments that only return a score."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import ROOT, change_params
from made_runs import task_record
from optuna.trial import TrialState

from refit import params, paths, search
from refit.errors import DataError, ParamsError, UsageError
from refit.experiments import runner
from refit.params import Range, Search
from refit.storage import files

optuna.logging.set_verbosity(optuna.logging.WARNING)


def asked_for(trials: int, **space: object) -> Search:
    """A search of so many trials."""
    space = space or {"lr": {"low": 0.001, "high": 0.02, "log": True}, "seed": [1, 2]}
    return Search.model_validate({"trials": trials, "train_share": 1.0, "seed": 7, "prune": False, "space": space})


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The params of every experiment that is run; its score is 0.5."""
    monkeypatch.chdir(tmp_path)
    done: list[dict[str, Any]] = []

    def run(name: str, changes: dict[str, Any], *others: object) -> bool:
        done.append({key: value for key, value in changes.items() if key != "train_rows"})
        return True

    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setattr(runner, "scores", lambda name: ({"validation": {"f1": 0.5}}, task_record(best_score="f1")))
    return done


def new_study() -> optuna.Study:
    return optuna.create_study(direction="maximize", study_name="mine")


def states(study: optuna.Study) -> list[TrialState]:
    return [trial.state for trial in study.trials]


def test_a_search_that_was_stopped_proposes_what_it_would_have(tried: list[dict[str, Any]]) -> None:
    """Prevents results that depend on whether the search was interrupted."""
    search.run_trials(new_study(), asked_for(4), 10)
    study = new_study()
    for trials in (1, 3, 4):
        search.run_trials(study, asked_for(trials), 10)
    assert tried[:4] == tried[4:]
    assert len({str(values) for values in tried}) == 4


@pytest.mark.parametrize(
    ("module", "name", "states_at_the_end"),
    [
        (runner, "run", [TrialState.COMPLETE, TrialState.COMPLETE]),
        (search, "propose", [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]),
    ],
)
def test_an_interrupted_trial_is_resumed_and_an_interrupted_proposal_does_not_count(
    module: Any, name: str, states_at_the_end: list[TrialState], tried: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Prevents a search from losing or repeating the trial in which it was stopped, or one without values."""
    study = new_study()

    def stop(*given: object, **more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, name, stop)
        with pytest.raises(KeyboardInterrupt):
            search.run_trials(study, asked_for(2), 10)
    interrupted = study.trials[0].params
    search.run_trials(study, asked_for(2), 10)
    assert tried[0] == interrupted or not interrupted
    assert states(study) == states_at_the_end


def test_values_that_another_machine_has_just_proposed_are_not_tried(
    tried: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents the same trial on two machines: the other may have asked later and been faster."""
    study, propose = new_study(), search.propose
    for _ in range(2):
        study.enqueue_trial({"seed": 2})

    def interrupted(trial: optuna.Trial, asked: Search, *, is_random: bool) -> dict[str, Any]:
        if trial.number == 0:  # another machine asks and proposes in the meantime
            propose(study.ask(), asked)
        return propose(trial, asked, is_random=is_random)

    monkeypatch.setattr(search, "propose", interrupted)
    search.run_trials(study, asked_for(3, seed=[1, 2]), 10)
    assert tried == [{"seed": 1}]


def test_all_values_of_a_small_space_are_tried_once(tried: list[dict[str, Any]]) -> None:
    """Prevents TPE from proposing its favourite a hundred times with values untried, and a search without end."""
    search.run_trials(new_study(), asked_for(5, lr=[0.01, 0.008, 0.006, 1e-7]), 10)
    assert sorted(values["lr"] for values in tried) == [1e-7, 0.006, 0.008, 0.01]


def test_a_study_of_another_space_is_refused(tried: list[dict[str, Any]]) -> None:
    """Prevents Optuna's traceback, which does not say what to do."""
    study = new_study()
    search.run_trials(study, asked_for(1, seed=[1, 2]), 10)
    with pytest.raises(ParamsError, match=r"search\.space: study mine"):
        search.run_trials(study, asked_for(2, seed=[1, 2, 3]), 10)


def test_three_failures_in_a_row_end_the_search_and_use_up_no_trials(
    tried: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a full disk from using up a study whose trials could then not be run again."""
    study = new_study()

    def fail(*given: object) -> bool:
        raise runner.ExperimentFailedError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(runner, "run", fail)
        with pytest.raises(runner.ExperimentFailedError):
            search.run_trials(study, asked_for(4), 10)
    assert states(study) == [TrialState.FAIL] * 3
    search.run_trials(study, asked_for(4), 10)
    assert states(study).count(TrialState.COMPLETE) == 4


def test_a_file_of_the_user_is_not_used_as_storage(tmp_path: Path) -> None:
    """Prevents Optuna from appending to a file of the user, and its traceback for a folder."""
    users, journal = tmp_path / "notes.jsonl", tmp_path / "new/journal.log"
    users.write_text('{"text": "a"}\n')
    for storage in (users, tmp_path):
        with pytest.raises(UsageError, match=str(storage)):
            search.open_study("a", str(storage), Search())
    assert users.read_text() == '{"text": "a"}\n'
    for _ in range(2):
        assert search.open_study("a", str(journal), Search()).study_name == "a"


@pytest.mark.parametrize(
    ("given", "share", "rows"),
    [(1000, 0.1, 6), (30, 0.1, 3), ("all", 0.1, 6), (1000, 1, 1000), ("all", 1, "all"), (1, 0.1, 1)],
)
def test_a_trial_uses_a_fraction_of_the_examples_that_there_are(
    given: int | str, share: float, rows: int | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents train_share from having no effect on a task with fewer examples than train_rows."""
    monkeypatch.chdir(tmp_path)
    files.write_json(paths.TASK, {"task": "own/tiny", "splits": {"train": {"rows": 60}}})
    assert search.train_rows("own/tiny", given, share) == rows
    if given == "all" and share < 1:
        with pytest.raises(DataError, match="dvc repro download"):
            search.train_rows("own/other", given, share)


def test_the_default_is_the_tutorials_search() -> None:
    """Prevents params.yaml, and a params.yaml without `search:`, from asking for another search than documented."""
    assert params.load_search(ROOT / "params.yaml") == Search()
    assert (Search().trials, Search().train_share) == (10, 0.1)
    assert Search().space["lr"] == Range(low=1e-6, high=1e-4, log=True)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"trials": 0}, "search.trials"),
        ({"space": {"learning": [1]}}, "search.space.learning"),
        ({"space": {"lr": {"low": 0.1, "high": 0.01}}}, "search.space.lr"),
        ({"space": {"lr": [2.0]}}, "search.space.lr"),
        ({"speed": 1}, "search.speed"),
    ],
)
def test_a_mistake_under_search_is_located(tmp_path: Path, changes: dict[str, object], where: str) -> None:
    """Prevents a typo in the space from being searched for hours, or from failing every trial."""
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    change_params(path, search={**asked_for(2).model_dump(), **changes})
    with pytest.raises(ParamsError, match=where):
        params.load(params.Evaluate, path)
