"""Search for better params: Optuna proposes values, each trial is a DVC experiment, its validation score decides.

python -m refit.search
python -m refit.search --storage mysql://user@host/searches          many machines, one study

`search:` in params.yaml says what to try. The same command resumes a search that was stopped.
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
from refit.errors import DataError, DiskError, ParamsError, UsageError
from refit.experiments import runner
from refit.params import Range, Search
from refit.stage import run
from refit.storage import files

FOLDER = Path(".refit/search")
STARTUP_TRIALS = 3  # random trials before TPE models the scores, and complete ones before the pruner compares
PROPOSALS = 100  # attempts to find values that were not tried yet
GUIDED_PROPOSALS = 10  # of these by TPE, the others at random
MOST_FAILURES = 3  # in a row; then the values are not the cause
MOST_LETTERS = 120  # of the values in a trial's name, which is also a file name


def main() -> None:
    """Run trials until there are as many as params.yaml asks for, then print the best."""
    parser = argparse.ArgumentParser(prog="python -m refit.search", description="Search for better params.")
    parser.add_argument("--study", help="name of the study (default: derived from the task and params.yaml)")
    parser.add_argument(
        "--storage", default=str(FOLDER / "journal.log"), help="a file, or a database URL that Optuna supports"
    )
    chosen = parser.parse_args()
    search = params.load_search()
    repo.check_repository()
    fixed = params.values()
    name = chosen.study or study_name(fixed, search)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise UsageError(f"--study {name}: need letters, digits, - and _, because experiments and files get this name")
    rows = train_rows(fixed["task"], fixed["train_rows"], search.train_share)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        with locking.locked(FOLDER / "lock", "another search is running in this clone; waiting for it"):
            study = open_study(name, chosen.storage, search)
            print(f"study {name}: {search.trials} trials on {rows} training rows; every trial is a DVC experiment")
            run_trials(study, search, rows)
            _print_best(study)
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise DiskError(f"--storage {chosen.storage}: {reason}; run the same command to resume") from None


def study_name(fixed: dict[str, Any], search: Search) -> str:
    """A name derived from everything that the scores depend on, so that a study never mixes different questions."""
    searched = search.model_dump(exclude={"trials"})
    others = {key: value for key, value in fixed.items() if key not in search.space}
    digest = hashlib.sha256(json.dumps([others, searched], sort_keys=True, default=str).encode()).hexdigest()
    return f"{re.sub('[^A-Za-z0-9_-]', '-', fixed['task'])}-{digest[:6]}"


def train_rows(task: str, given: int | str, share: float) -> int | str:
    """The `train_rows` of a trial: a fraction of params.yaml's, or of all if there are fewer. Raises DataError."""
    if share == 1:
        return given
    record = files.read_json(paths.TASK) if paths.TASK.is_file() else {}
    available = record["splits"]["train"]["rows"] if record.get("task") == task else math.inf
    rows = min(math.inf if given == "all" else int(given), available)
    if rows == math.inf:
        raise DataError(f"train_rows is all, and {paths.TASK} does not say how many; run: dvc repro download")
    return max(1, math.ceil(rows * share))


def open_study(name: str, storage: str, search: Search) -> optuna.Study:
    """Open or create the study in a journal file or a database. Raises UsageError, ParamsError."""
    place: Any = storage
    if "://" not in storage:
        journal = targets.checked("--storage", Path(storage), _is_journal)
        journal.parent.mkdir(parents=True, exist_ok=True)
        place = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    pruner = optuna.pruners.MedianPruner(STARTUP_TRIALS) if search.prune else optuna.pruners.NopPruner()
    # If several machines create the tables of a database at the same time, all but one fail and have to retry.
    for pause in (1, 2, 3, 0):
        try:
            return optuna.create_study(
                study_name=name, storage=place, pruner=pruner, direction="maximize", load_if_exists=True
            )
        except (ImportError, optuna.exceptions.OptunaError, ValueError, SQLAlchemyError) as error:
            reason = str(error).splitlines()[0]
            if not isinstance(error, SQLAlchemyError):
                break
        time.sleep(pause)
    raise ParamsError(f"--storage {storage}: cannot be opened ({reason})")


def propose(trial: Trial, search: Search, *, is_random: bool = False) -> dict[str, Any]:
    """The values of a trial, which depend only on the seed, the trial's number and the study's history."""
    seed = (search.seed * 1_000_003 + trial.number) % 2**32
    startup = sys.maxsize if is_random else STARTUP_TRIALS
    trial.study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
    values: dict[str, Any] = {}
    for key, space in search.space.items():
        if not isinstance(space, Range):
            values[key] = trial.suggest_categorical(key, space)
        elif isinstance(space.low, int) and isinstance(space.high, int):
            values[key] = trial.suggest_int(key, space.low, space.high, log=space.log)
        else:
            values[key] = trial.suggest_float(key, space.low, space.high, log=space.log)
    return values


def run_trials(study: optuna.Study, search: Search, rows: int | str) -> None:
    """Run trials on `rows` training rows until enough have finished, beginning with those that were interrupted.

    Raises ParamsError for a study of another space, ExperimentFailedError if one trial after the other fails.
    """
    interrupted = _interrupted(study)
    failures = 0
    while interrupted or len(_counted(study)) < search.trials:
        trial = interrupted.pop(0) if interrupted else _ask(study, search)
        if trial is None:
            return
        failures = 0 if _run_trial(study, trial, rows) else failures + 1
        if failures == MOST_FAILURES:
            raise runner.ExperimentFailedError(
                f"{MOST_FAILURES} trials in a row failed; fix what the last one reports and run the same command again"
            )


def _ask(study: optuna.Study, search: Search) -> Trial | None:
    """A new trial with values that no other trial has; None if there are enough trials or no such values are found."""
    for attempt in range(PROPOSALS):
        trial = study.ask()
        trial.set_user_attr("owner", _owner())
        try:
            # In a small space TPE keeps proposing its favourite, and never the values that are left.
            values = propose(trial, search, is_random=attempt >= GUIDED_PROPOSALS)
        except ValueError as error:
            raise ParamsError(
                f"params.yaml search.space: study {study.study_name} has another space ({error}); "
                "choose another name with --study"
            ) from None
        others = [other for other in _counted(study) if other.number != trial.number]
        is_enough = sum(other.number < trial.number for other in others) >= search.trials
        # If two machines propose the same values, at least the later of the two sees the other's trial here, because
        # trials with higher numbers are compared, too.
        if not is_enough and all(other.params != values for other in others):
            letters = re.sub(r"[^\w.-]", "-", _shown(values))[:MOST_LETTERS]
            trial.set_user_attr("experiment", f"{study.study_name}-{trial.number:02}-{letters}")
            return trial
        study.tell(trial, state=TrialState.FAIL)
        if is_enough:
            return None
    print(f"search: the last {PROPOSALS} proposals were tried before; stopping early", file=sys.stderr)
    return None


def _run_trial(study: optuna.Study, trial: Trial, rows: int | str) -> bool:
    """Run a trial, store and print its score, its error, or that it was pruned; False if it failed."""
    name = trial.user_attrs["experiment"]
    reported = set(study.trials[trial.number].intermediate_values)

    def is_hopeless(evaluations: list[dict[str, Any]]) -> bool:
        for entry in evaluations:
            if entry["number"] not in reported:
                reported.add(entry["number"])
                trial.report(entry["score"], entry["number"])
        return trial.should_prune()

    value, state = None, TrialState.COMPLETE
    try:
        if runner.run(name, {"train_rows": rows, **trial.params}, FOLDER, is_hopeless):
            scores, task = runner.scores(name)
            value = scores["validation"][task.best_score]
            result = f"{task.best_score} {value:.4f}"
        else:
            state, result = TrialState.PRUNED, f"pruned after {max(reported)} evaluations"
    except runner.ExperimentFailedError as error:
        state, result = TrialState.FAIL, str(error)
        trial.set_user_attr("error", result)
    study.tell(trial, value, state)
    print(f"trial {trial.number:>3}  {result}  {_shown(trial.params)}", flush=True)
    return state != TrialState.FAIL


def _counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count: all but those that failed or were not started; their values may be proposed again."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]


def _interrupted(study: optuna.Study) -> list[Trial]:
    """The trials that an earlier search of this clone started and did not finish; proposals not started are failed."""
    running = study.get_trials(states=(TrialState.RUNNING,))
    own = [trial for trial in running if trial.user_attrs.get("owner") == _owner()]
    for trial in own:
        if "experiment" not in trial.user_attrs:
            study.tell(trial.number, state=TrialState.FAIL)
    return [Trial(study, trial._trial_id) for trial in own if "experiment" in trial.user_attrs]


def _is_journal(path: Path) -> bool:
    """Whether a file is Optuna's journal, or empty."""
    with path.open("rb") as file:
        first = file.readline(1_000)
    return not first or b'"op_code"' in first


def _owner() -> str:
    """An id of this clone that does not depend on the machine, so that a job restarted elsewhere resumes its trials."""
    path = FOLDER / "clone"
    if not path.is_file():
        files.write_text(path, f"{platform.node()}-{secrets.token_hex(4)}")
    return f"{path.read_text()}:{os.getcwd()}"


def _print_best(study: optuna.Study) -> None:
    """Print the best trial and how to apply it. Raises DataError if no trial has finished."""
    if not study.get_trials(states=(TrialState.COMPLETE,)):
        raise DataError("no trial has finished yet; run the same command again")
    best = study.best_trial
    name = best.user_attrs["experiment"]
    print(f"\nbest: {best.value:.4f}  {_shown(best.params)}")
    where = "" if repo.experiment(name) else f" (dvc exp push it in {best.user_attrs['owner']}, dvc exp pull it here)"
    print(f"apply it with: dvc exp apply {name}{where}")


def _shown(values: dict[str, Any]) -> str:
    """The values of a trial, floats with three digits."""
    rounded = {key: f"{value:.3g}" if isinstance(value, float) else value for key, value in values.items()}
    return " ".join(f"{key}={value}" for key, value in rounded.items())


if __name__ == "__main__":
    run("search", main, network=True, record=False)  # the stages of a trial may download
