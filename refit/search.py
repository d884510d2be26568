"""Search for better params: Optuna proposes, every trial is a DVC experiment, the score on validation decides.

python -m refit.search
python -m refit.search --storage mysql://user@host/searches          many machines, one study

What is tried stands under `search:` in params.yaml. The same command goes on with a search that was stopped.
"""

import argparse
import hashlib
import json
import math
import os
import platform
import re
import secrets
import sys
import time
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from refit import locking, params, paths, repo, targets
from refit.errors import DataError, DiskError, InterruptedRunError, ParamsError, UsageError
from refit.experiments import runner
from refit.params import Range, Search
from refit.stage import run
from refit.storage import files

FOLDER = Path(".refit/search")
STARTUP_TRIALS = 3  # random before TPE models the scores, and whole before the pruner compares
OPENINGS = 4  # of a database
ATTEMPTS = 100  # to find values that were not tried yet
GUIDED_ATTEMPTS = 10  # of these by TPE
FAILURES = 3  # in a row, and something other than the values is wrong
NAME = 120  # letters of a trial's values in its name: files are named after it


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m refit.search", description="Search for better params.")
    parser.add_argument("--study", help="its name (default: from the task and all that params.yaml says)")
    parser.add_argument(
        "--storage", default=str(FOLDER / "journal.log"), help="a file, or a database URL that Optuna takes"
    )
    return parser.parse_args()


def main() -> None:
    """Run trials until there are as many as params.yaml asks for, then print the best."""
    chosen = arguments()
    search = params.load_search()
    repo.check_repository()
    fixed = params.values()
    name = chosen.study or study_name(fixed, search)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise UsageError(f"--study {name}: need letters, digits, - and _; experiments and files are named after it")
    rows = train_rows(fixed["train_rows"], search.train_share)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        with locking.locked(FOLDER / "lock", "another search runs in this clone; waiting for it"):
            study = open_study(name, chosen.storage, search)
            print(f"study {name}: {search.trials} trials on {rows} training rows; every trial is a DVC experiment")
            _search(study, search, rows)
            _conclude(study)
    except KeyboardInterrupt:
        raise InterruptedRunError("stopped as asked; run the same command to go on") from None
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        said = str(error.__cause__ or error).splitlines()[0]
        raise DiskError(f"--storage {chosen.storage}: {said}; run the same command to go on") from None


def _conclude(study: optuna.Study) -> None:
    """Print the best trial and how to take it."""
    if not study.get_trials(states=(TrialState.COMPLETE,)):
        raise DataError("no trial came to its end yet")
    best = study.best_trial
    name = best.user_attrs["experiment"]
    print(f"\nbest: {best.value:.4f}  {_shown(best.params)}")
    if repo.experiment(name):
        print(f"take it with: dvc exp apply {name}")
    else:
        print(f"{name} ran in {best.user_attrs['owner']}: dvc exp push it there, dvc exp pull it here")


def study_name(fixed: dict[str, Any], search: Search) -> str:
    """A name that changes with all that the scores depend on, so that one study never mixes two questions."""
    searched = search.model_dump(exclude={"trials"})
    others = {key: value for key, value in fixed.items() if key not in search.space}
    digest = hashlib.sha256(json.dumps([others, searched], sort_keys=True, default=str).encode()).hexdigest()
    return f"{re.sub('[^A-Za-z0-9_-]', '-', fixed['task'])}-{digest[:6]}"


def open_study(name: str, storage: str, search: Search) -> optuna.Study:
    """The study of this name, made if it is not there yet, in a journal file or a database."""
    if "://" in storage:
        place: Any = storage
    else:
        journal = targets.checked("--storage", targets.path(storage), _is_journal)
        journal.parent.mkdir(parents=True, exist_ok=True)
        place = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
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


def _is_journal(path: Path) -> bool:
    """Whether Optuna began this file."""
    with path.open("rb") as file:
        first = file.readline(1_000)
    return not first or b'"op_code"' in first


def train_rows(given: int | str, share: float) -> int | str:
    """How many training rows a trial uses: a share of those that params.yaml names."""
    if share == 1:
        return given
    if given == "all":
        if not paths.TASK.is_file():
            raise DataError(
                f"train_rows is all, and their number is in {paths.TASK}, which is not there; run: dvc repro download"
            )
        given = files.read_json(paths.TASK)["splits"]["train"]["rows"]
    return max(1, math.ceil(int(given) * share))


def propose(trial: Trial, search: Search, *, is_random: bool = False) -> dict[str, Any]:
    """The values of a trial; for the same seed, number and history they are the same ones."""
    seed = (search.seed * 1_000_003 + trial.number) % 2**32
    trial.study.sampler = (
        optuna.samplers.RandomSampler(seed)
        if is_random
        else optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
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
    """Run trials until enough came to an end. Raises ExperimentFailedError when one after the other fails."""
    left = [(Trial(study, trial._trial_id), trial.params) for trial in _left_behind(study)]
    failures = 0
    while left or len(_counted(study)) < search.trials:
        if left:
            trial, values = left.pop(0)
        elif (asked := _ask(study, search)) is not None:
            trial, values = asked, asked.params
        else:
            return
        failures = 0 if _try(study, trial, values, rows) else failures + 1
        if failures == FAILURES:
            raise runner.ExperimentFailedError(
                f"{FAILURES} trials in a row failed; mend what the last one says and run the same command to go on"
            )


def _ask(study: optuna.Study, search: Search) -> Trial | None:
    """A new trial with values that no other has, or None when there are enough or none such are left."""
    for attempt in range(ATTEMPTS):
        trial = study.ask()
        trial.set_user_attr("owner", _owner())
        try:
            # In a small space TPE proposes its favourite again and again, and never what is left.
            values = propose(trial, search, is_random=attempt >= GUIDED_ATTEMPTS)
        except ValueError as error:
            _skip(study, trial, "another space")
            raise ParamsError(
                f"params.yaml search.space: study {study.study_name} was begun with another space ({error}); "
                "give this one a name of its own with --study"
            ) from None
        others = [other for other in _counted(study) if other.number != trial.number]
        if sum(other.number < trial.number for other in others) >= search.trials:
            _skip(study, trial, "enough trials")
            return None
        # Of two machines that propose the same at once, whoever looks last sees the other's: it must look at all.
        if all(other.params != values for other in others):
            trial.set_user_attr("experiment", _experiment_name(study, trial))
            return trial
        _skip(study, trial, "tried before")
    print(f"search: {ATTEMPTS} proposals in a row were tried before; the space has no more to give", file=sys.stderr)
    return None


def _skip(study: optuna.Study, trial: Trial, why: str) -> None:
    """Take a trial out of those that count."""
    trial.set_user_attr("skipped", why)
    study.tell(trial, state=TrialState.FAIL)


def _try(study: optuna.Study, trial: Trial, values: dict[str, Any], rows: int | str) -> bool:
    """Run one trial and tell its score, that it was pruned, or its error; False when it failed."""
    name = trial.user_attrs["experiment"]
    reported = set(study.trials[trial.number].intermediate_values)

    def is_hopeless(evaluations: list[dict[str, Any]]) -> bool:
        for entry in evaluations:
            if entry["number"] not in reported:
                reported.add(entry["number"])
                trial.report(entry["score"], entry["number"])
        return trial.should_prune()

    try:
        if not runner.run(name, {"train_rows": rows, **values}, FOLDER, is_hopeless):
            study.tell(trial, state=TrialState.PRUNED)
            _say(trial, f"pruned after {max(reported)} evaluations", values)
            return True
        scores, task = runner.scores(name)
    except runner.ExperimentFailedError as error:
        trial.set_user_attr("error", str(error))
        study.tell(trial, state=TrialState.FAIL)
        _say(trial, str(error), values)
        return False
    value = scores["validation"][task.best_score]
    study.tell(trial, value)
    _say(trial, f"{task.best_score} {value:.4f}", values)
    return True


def _counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count: not those that failed, whose values may be tried again, nor proposals not run."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]


def _left_behind(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that an earlier search of this clone began and did not end; what was not yet one is given up."""
    begun = study.get_trials(states=(TrialState.RUNNING,))
    ours = [trial for trial in begun if trial.user_attrs.get("owner") == _owner()]
    for trial in ours:
        if "experiment" not in trial.user_attrs:
            _skip(study, Trial(study, trial._trial_id), "stopped while it was proposed")
    return [trial for trial in ours if "experiment" in trial.user_attrs]


def _owner() -> str:
    """This clone, whichever machine works in it: a job that starts anew on another one goes on with its trials."""
    path = FOLDER / "clone"
    if not path.is_file():
        files.write_text(path, f"{platform.node()}-{secrets.token_hex(4)}")
    return f"{path.read_text()}:{os.getcwd()}"


def _experiment_name(study: optuna.Study, trial: Trial) -> str:
    values = "-".join(
        f"{key}-{value:.3g}" if isinstance(value, float) else f"{key}-{value}" for key, value in trial.params.items()
    )
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in values)
    return f"{study.study_name}-{trial.number:02}-{kept[:NAME]}"


def _say(trial: Trial, result: str, values: dict[str, Any]) -> None:
    print(f"trial {trial.number:>3}  {result}  {_shown(values)}", flush=True)


def _shown(values: dict[str, Any]) -> str:
    return " ".join(
        f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()
    )


if __name__ == "__main__":
    run("search", main, network=True, record=False)  # its trials download
