"""Search for better params: Optuna proposes, every trial is a DVC experiment, the score on validation decides.

python -m refit.search
python -m refit.search --storage mysql://user@host/searches          many machines, one study

What is tried stands under `search:` in params.yaml. The same command goes on with a search that was stopped.
"""

import argparse
import fcntl
import hashlib
import json
import math
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from refit import experiment, files, params, paths, search_page
from refit.errors import DataError, InterruptedRunError, ParamsError
from refit.params import Range, Search
from refit.runtime import run

FOLDER = Path(".refit/search")
STARTUP_TRIALS = 3  # random before TPE models the scores, and whole before the pruner compares
OPENINGS = 4  # of a database
ATTEMPTS = 100  # to find values that were not tried yet


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m refit.search", description="Search for better params.")
    parser.add_argument("--study", help="its name (default: from the task and all that params.yaml says)")
    parser.add_argument(
        "--storage", default=str(FOLDER / "journal.log"), help="a file, or a database URL that Optuna takes"
    )
    return parser.parse_args()


def main() -> None:
    """Run trials until there are as many as params.yaml asks for, then print the best and write the page."""
    chosen = arguments()
    search = params.load_search()
    experiment.check_repository()
    fixed = params.values()
    name = chosen.study or study_name(fixed, search)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = open_study(name, chosen.storage, search)
    rows = train_rows(fixed["train_rows"], search.train_share)
    print(f"study {name}: {search.trials} trials on {rows} training rows; every trial is a DVC experiment")
    try:
        _search(study, search, rows)
    except KeyboardInterrupt:
        raise InterruptedRunError("stopped as asked; run the same command to go on") from None
    page = FOLDER / f"{name}.html"
    files.write_text(page, search_page.page(study))
    best = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    if not best:
        raise DataError("no trial came to an end; each one's error stands above")
    print(f"\nbest: {study.best_value:.4f}  {_shown(study.best_params)}\npage: {page}")
    experiment_name = study.best_trial.user_attrs["experiment"]
    if experiment.revision(experiment_name):
        print(f"take it with: dvc exp apply {experiment_name}")
    else:
        print(
            f"{experiment_name} ran in {study.best_trial.user_attrs['owner']}: dvc exp push it there, dvc exp pull here"
        )


def study_name(fixed: dict[str, Any], search: Search) -> str:
    """A name that changes with all that the scores depend on, so that one study never mixes two questions."""
    searched = search.model_dump(exclude={"trials"})
    others = {key: value for key, value in fixed.items() if key not in search.space}
    digest = hashlib.sha256(json.dumps([others, searched], sort_keys=True, default=str).encode()).hexdigest()
    return f"{fixed['task'].replace('/', '-')}-{digest[:6]}"


def open_study(name: str, storage: str, search: Search) -> optuna.Study:
    """The study of this name, made if it is not there yet, in a journal file or a database."""
    if "://" in storage:
        place: Any = storage
    else:
        Path(storage).parent.mkdir(parents=True, exist_ok=True)
        place = optuna.storages.JournalStorage(JournalFileBackend(storage))
    pruner = optuna.pruners.MedianPruner(STARTUP_TRIALS) if search.prune else optuna.pruners.NopPruner()
    for attempt in range(OPENINGS):
        try:
            return optuna.create_study(
                study_name=name, storage=place, pruner=pruner, direction="maximize", load_if_exists=True
            )
        except (ImportError, optuna.exceptions.OptunaError, ValueError, SQLAlchemyError) as error:
            # Machines that start together make the database's tables together: all but the first try again.
            if attempt == OPENINGS - 1 or not isinstance(error, SQLAlchemyError):
                raise ParamsError(f"--storage {storage}: cannot be opened ({str(error).splitlines()[0]})") from None
            time.sleep(attempt + 1)
    raise AssertionError("not reached")


def train_rows(given: int | str, share: float) -> int | str:
    """How many training rows a trial uses: a share of those that params.yaml names."""
    if share == 1:
        return given
    if given == "all":
        if not paths.TASK.is_file():
            raise DataError(
                f"{paths.TASK} is not there yet, so how many rows all is, is not known; run: dvc repro download"
            )
        given = files.read_json(paths.TASK)["splits"]["train"]["rows"]
    return max(1, math.ceil(int(given) * share))


def propose(trial: Trial, search: Search) -> dict[str, Any]:
    """The values of a trial; for the same seed, number and history they are the same ones."""
    trial.study.sampler = optuna.samplers.TPESampler(
        seed=(search.seed * 1_000_003 + trial.number) % 2**32, n_startup_trials=STARTUP_TRIALS
    )
    values: dict[str, Any] = {}
    for key, space in search.space.items():
        if not isinstance(space, Range):
            values[key] = trial.suggest_categorical(key, space)
        elif isinstance(space.low, int) and isinstance(space.high, int):
            values[key] = trial.suggest_int(key, space.low, space.high, log=space.log)
        else:
            values[key] = trial.suggest_float(key, space.low, space.high, log=space.log)
    return values


def _search(study: optuna.Study, search: Search, rows: int | str) -> None:
    for left in _left_behind(study):
        _try(study, Trial(study, left._trial_id), left.params, rows)
    while len(_counted(study)) < search.trials:
        trial = _ask(study, search)
        if trial is None:
            return
        _try(study, trial, trial.params, rows)


def _ask(study: optuna.Study, search: Search) -> Trial | None:
    """A new trial with values that no other has, or None when there are enough or none such are left."""
    for _ in range(ATTEMPTS):
        trial = study.ask()
        trial.set_user_attr("owner", _owner())
        values = propose(trial, search)
        earlier = [other for other in _counted(study) if other.number < trial.number]
        if len(earlier) >= search.trials:
            trial.set_user_attr("skipped", "enough trials")
            study.tell(trial, state=TrialState.FAIL)
            return None
        if all(other.params != values for other in earlier):
            trial.set_user_attr("experiment", _experiment_name(study, trial))
            return trial
        trial.set_user_attr("skipped", "tried before")
        study.tell(trial, state=TrialState.FAIL)
    print(f"search: {ATTEMPTS} proposals in a row were tried before; the space has no more to give", file=sys.stderr)
    return None


def _try(study: optuna.Study, trial: Trial, values: dict[str, Any], rows: int | str) -> None:
    """Run one trial and tell its score, that it was pruned, or its error."""
    name = trial.user_attrs.get("experiment") or _experiment_name(study, trial)
    trial.set_user_attr("experiment", name)
    with _locked(name) as lock:
        reported: set[int] = set()

        def is_hopeless(evaluations: list[dict[str, Any]]) -> bool:
            for number, entry in enumerate(evaluations, start=1):
                if number not in reported:
                    reported.add(number)
                    trial.report(entry["score"], number)
            return trial.should_prune()

        try:
            if not experiment.revision(name):
                changes = {"train_rows": rows, **values}
                if not experiment.run(name, changes, FOLDER / f"{name}.log", lock, is_hopeless):
                    study.tell(trial, state=TrialState.PRUNED)
                    _say(trial, f"pruned after {len(reported)} evaluations", values)
                    return
            scores, task = experiment.scores(name)
        except experiment.ExperimentFailedError as error:
            trial.set_user_attr("error", str(error))
            study.tell(trial, state=TrialState.FAIL)
            _say(trial, str(error), values)
            return
        value = scores["validation"][task["best_score"]]
        study.tell(trial, value)
        _say(trial, f"{task['best_score']} {value:.4f}", values)


def _counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count: all but proposals that were not run."""
    return [trial for trial in study.get_trials(deepcopy=False) if "skipped" not in trial.user_attrs]


def _left_behind(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that a process of this clone began and did not end, and that no live one is working at."""
    begun = [
        trial for trial in study.get_trials(states=(TrialState.RUNNING,)) if trial.user_attrs.get("owner") == _owner()
    ]
    return [
        trial for trial in begun if "experiment" in trial.user_attrs and not _is_held(trial.user_attrs["experiment"])
    ]


@contextmanager
def _locked(name: str) -> Iterator[int]:
    """Hold a trial. Its `dvc exp run` holds it too, so that it stays taken if this process alone is killed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _is_held(name: str) -> bool:
    with (FOLDER / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _owner() -> str:
    return f"{platform.node()}:{os.getcwd()}"


def _experiment_name(study: optuna.Study, trial: Trial) -> str:
    values = "-".join(
        f"{key}-{value:.3g}" if isinstance(value, float) else f"{key}-{value}" for key, value in trial.params.items()
    )
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in values)
    return f"{study.study_name}-{trial.number:02}-{kept}"


def _say(trial: Trial, result: str, values: dict[str, Any]) -> None:
    print(f"trial {trial.number:>3}  {result}  {_shown(values)}", flush=True)


def _shown(values: dict[str, Any]) -> str:
    return " ".join(
        f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()
    )


if __name__ == "__main__":
    run("search", main, record=False)
