"""Run many tasks with many seeds, and print the GLUE table with the averages that the leaderboard counts.

python -m refit.glue                                     every recipe in recipes/glue, seed 42
python -m refit.glue --tasks cola rte --seeds 1 2 3      some of them
python -m refit.glue --set train_rows=1000 epochs=1      the same change to each

Each run is a DVC experiment in a temporary copy. The same command goes on where it was stopped: what is finished is not
run again, what failed is. Every task has its scores or its error in the table.
"""

import argparse
import difflib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from refit import params, repo, targets
from refit.errors import InterruptedRunError, ParamsError, RefitError
from refit.experiments import runner
from refit.stage import run

RECIPES = Path("recipes/glue")
LOGS = Path(".refit/glue")

# The nine columns of the leaderboard's average, each with the scores that it is the mean of: (split, score).
COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "cola": (("validation", "matthews_correlation"),),
    "sst2": (("validation", "accuracy"),),
    "mrpc": (("validation", "f1"), ("validation", "accuracy")),
    "stsb": (("validation", "pearson"), ("validation", "spearmanr")),
    "qqp": (("validation", "f1"), ("validation", "accuracy")),
    "mnli": (("validation", "accuracy"), ("validation_mismatched", "accuracy")),
    "qnli": (("validation", "accuracy"),),
    "rte": (("validation", "accuracy"),),
    "wnli": (("validation", "accuracy"),),
}

Scores = dict[str, Any]
Key = tuple[str, int]  # the task and the seed of a run


class SomeFailedError(RefitError):
    """Some of the runs ended with an error."""

    exit_code = 70


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m refit.glue", description="Run tasks × seeds, print the GLUE table."
    )
    parser.add_argument("--tasks", nargs="+", help="names of recipes in --recipes (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    parser.add_argument("--set", nargs="+", default=[], metavar="PARAM=VALUE", help="changes to every recipe")
    parser.add_argument("--recipes", type=targets.path, default=RECIPES)
    return parser.parse_args()


def main() -> None:
    """Run what has not been run, then print the table. Raises SomeFailedError when a run failed."""
    chosen = arguments()
    repo.check_repository()
    recipes = [_recipe(chosen.recipes, task, chosen.set) for task in chosen.tasks or _all(chosen.recipes)]
    runs = {(recipe["task"], seed): {**recipe, "seed": seed} for recipe in recipes for seed in chosen.seeds}
    try:
        failures = _one_by_one(runs)
    except KeyboardInterrupt:
        raise InterruptedRunError("stopped as asked; run the same command to go on") from None
    results = {key: failures.get(key) or runner.scores(_name(changes))[0] for key, changes in runs.items()}
    print("\n" + table(results))
    failed = [f"{task} seed {seed}" for (task, seed), result in results.items() if isinstance(result, str)]
    if failed:
        raise SomeFailedError(
            f"{len(failed)} of {len(results)} failed: {', '.join(failed)}; fix it and run the same command again"
        )


def average(scores: dict[str, Scores]) -> float | None:
    """The leaderboard's average of {task: scores.json of the task}, in percent; None unless all nine are there.

    A task with two scores counts with their plain mean, MNLI with that of matched and mismatched, AX not at all (GLUE:
    Wang et al. 2018, section 5: unweighted averages).
    """
    if not COLUMNS.keys() <= scores.keys():
        return None
    return fmean(column(task, scores[task]) for task in COLUMNS)


def column(task: str, scores: Scores) -> float:
    """What a task counts with, in percent."""
    wanted = COLUMNS.get(task)
    if wanted is None:
        return 100 * float(next(iter(scores["validation"].values())))
    return 100 * fmean(scores[split][name] for split, name in wanted)


def table(results: dict[Key, Scores | str]) -> str:
    """A line a task: its scores (mean and standard deviation over the seeds), or the error of each seed that failed."""
    seeds = sorted({seed for _, seed in results})
    lines = [("task", "score", "value", "seeds")]
    for task in dict.fromkeys(task for task, _ in results):
        of_task = {seed: results[task, seed] for seed in seeds if (task, seed) in results}
        done = [found for found in of_task.values() if not isinstance(found, str)]
        lines += [
            (task, f"{split} {name}", _spread([100 * found[split][name] for found in done]), str(len(done)))
            for split, name in (COLUMNS.get(task) or _all_scores(done))
            if done
        ]
        lines += [(task, f"seed {seed}", str(found), "") for seed, found in of_task.items() if isinstance(found, str)]
    averages = [
        average({task: found for (task, own), found in results.items() if own == seed and not isinstance(found, str)})
        for seed in seeds
    ]
    whole = [value for value in averages if value is not None]
    missing = [task for task in COLUMNS if not any(isinstance(results.get((task, seed)), dict) for seed in seeds)]
    counted = (
        _spread(whole) if whole else f"needs all nine tasks with one seed; without: {', '.join(missing) or 'none'}"
    )
    lines.append(("GLUE", "average", counted, str(len(whole)) if whole else ""))
    widths = [max(len(line[place]) for line in lines) if place < 2 else 0 for place in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _one_by_one(runs: Mapping[Key, dict[str, Any]]) -> dict[Key, str]:
    """Run what has no result yet; returns the error of each that failed."""
    failures = {}
    for key, changes in runs.items():
        name = _name(changes)
        _say(key, f"finished before, as {name}" if repo.experiment(name) else f"runs as {name}")
        try:
            runner.run(name, changes, LOGS)
        except RefitError as error:
            failures[key] = str(error)
            _say(key, failures[key])
    return failures


def _name(changes: dict[str, Any]) -> str:
    """The experiment of a run: another one for every change, so that a finished one is never another's result."""
    digest = hashlib.sha256(json.dumps(changes, sort_keys=True).encode()).hexdigest()[:6]
    return f"glue-{changes['task'].replace('/', '-')}-seed-{changes['seed']}-{digest}"


def _say(key: Key, what: str) -> None:
    print(f"{key[0]} seed {key[1]}: {what}", flush=True)


def _recipe(folder: Path, task: str, changes: list[str]) -> dict[str, Any]:
    path = folder / f"{task}.yaml"
    if not path.is_file():
        raise ParamsError(f"--tasks {task}: {path} is not there; choose from: {', '.join(_all(folder))}")
    values = params.values(path)
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or key not in values:
            close = difflib.get_close_matches(key, values, n=1)
            hint = f"did you mean {close[0]}?" if equals and close else f"PARAM is one of {', '.join(values)}"
            raise ParamsError(f"--set {change}: need PARAM=VALUE; {hint}")
        try:
            values[key] = repo.parse_yaml(value)
        except ValueError:
            raise ParamsError(f"--set {change}: the value is not YAML; quote what is text") from None
    return values


def _all(folder: Path) -> list[str]:
    """The recipes that give a column of their own: AX has no labels, and mnli scores both of its halves."""
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if not names:
        raise ParamsError(f"--recipes {folder}: no recipes there")
    return [name for name in names if name not in ("ax", "mnli-mm")]


def _all_scores(done: list[Scores]) -> list[tuple[str, str]]:
    return [
        (split, name)
        for split, found in (done[0] if done else {}).items()
        for name in found
        if name not in ("rows", "loss")
    ]


def _spread(values: list[float]) -> str:
    return f"{fmean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


if __name__ == "__main__":
    run("glue", main, network=True, record=False)  # its runs download
