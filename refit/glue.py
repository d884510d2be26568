"""Run several tasks with several seeds, and print the GLUE table with the leaderboard's average.

python -m refit.glue                                     every recipe in recipes/glue, seed 42
python -m refit.glue --tasks cola rte --seeds 1 2 3      some of them
python -m refit.glue --set train_rows=1000 epochs=1      change these params of every recipe

Each run is a DVC experiment in a temporary clone. The same command resumes after a stop: finished runs are not
repeated, failed ones are. The table shows the scores or the error of every run.
"""

import argparse
import difflib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from tabulate import tabulate

from refit import params, repo
from refit.errors import InterruptedRunError, ParamsError, RefitError
from refit.experiments import runner
from refit.stage import run

RECIPES = Path("recipes/glue")
LOGS = Path(".refit/glue")

# The nine columns of the leaderboard's average, each the mean of these scores: (split, score).
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
    """Some of the runs failed."""

    exit_code = 70


def main() -> None:
    """Run whatever has not finished yet, then print the table. Raises SomeFailedError if a run failed."""
    parser = argparse.ArgumentParser(
        prog="python -m refit.glue", description="Run tasks × seeds, print the GLUE table."
    )
    parser.add_argument("--tasks", nargs="+", help="names of recipes in --recipes (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    parser.add_argument("--set", nargs="+", default=[], metavar="PARAM=VALUE", help="changes to every recipe")
    parser.add_argument("--recipes", type=Path, default=RECIPES, help="folder (default: recipes/glue)")
    chosen = parser.parse_args()
    repo.check_repository()
    tasks = [recipe(chosen.recipes, task, chosen.set) for task in chosen.tasks or _recipes(chosen.recipes)]
    runs = {(task["task"], seed): {**task, "seed": seed} for task in tasks for seed in chosen.seeds}
    try:
        results = {key: _run(key, changes) for key, changes in runs.items()}
    except KeyboardInterrupt:
        raise InterruptedRunError("stopped as asked; run the same command to resume") from None
    print("\n" + table(results))
    failed = [f"{task} seed {seed}" for (task, seed), result in results.items() if isinstance(result, str)]
    if failed:
        raise SomeFailedError(
            f"{len(failed)} of {len(results)} failed: {', '.join(failed)}; fix it and run the same command again"
        )


def recipe(folder: Path, task: str, changes: list[str]) -> dict[str, Any]:
    """The params of a recipe with the changes of --set. Raises ParamsError."""
    path = folder / f"{task}.yaml"
    if not path.is_file():
        raise ParamsError(f"--tasks {task}: {path} does not exist; choose from: {', '.join(_recipes(folder))}")
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
            raise ParamsError(f"--set {change}: the value is not YAML; put text in quotes") from None
    return values


def average(scores: Mapping[str, Scores]) -> float | None:
    """The leaderboard's average of {task: scores.json of the task}, in percent; None unless all nine are there.

    A task with two scores counts with their mean, MNLI with the mean of matched and mismatched, AX not at all (GLUE:
    Wang et al. 2018, section 5: unweighted averages).
    """
    if not COLUMNS.keys() <= scores.keys():
        return None
    return 100 * fmean(fmean(scores[task][split][name] for split, name in columns) for task, columns in COLUMNS.items())


def table(results: Mapping[Key, Scores | str]) -> str:
    """One line per task and score (mean and standard deviation over the seeds), and one per failed run."""
    finished: dict[str, dict[int, Scores]] = {task: {} for task, _ in results}
    lines = []
    for (task, seed), result in results.items():
        if isinstance(result, str):
            lines.append((task, f"seed {seed}", "", result))
        else:
            finished[task][seed] = result
    for task, of_seeds in finished.items():
        runs = list(of_seeds.values())
        lines += [
            (task, f"{split} {name}", str(len(runs)), _mean([100 * found[split][name] for found in runs]))
            for split, name in (COLUMNS.get(task) or _all_scores(runs[:1]))
            if runs
        ]
    tasks = list(finished)
    lines.sort(key=lambda line: tasks.index(line[0]))
    seeds = sorted({seed for _, seed in results})
    averages = [average({task: found[seed] for task, found in finished.items() if seed in found}) for seed in seeds]
    known = [value for value in averages if value is not None]
    missing = ", ".join(task for task in COLUMNS if not finished.get(task)) or "none"
    value = _mean(known) if known else f"needs all nine tasks with the same seed; missing: {missing}"
    lines.append(("GLUE", "average", str(len(known)) if known else "", value))
    return str(tabulate(lines, ("task", "score", "seeds", "value"), tablefmt="plain", disable_numparse=True))


def _run(key: Key, changes: dict[str, Any]) -> Scores | str:
    """Run an experiment unless it has finished; returns its scores or the error."""
    digest = hashlib.sha256(json.dumps(changes, sort_keys=True).encode()).hexdigest()[:6]  # other changes, other name
    name = f"glue-{changes['task'].replace('/', '-')}-seed-{changes['seed']}-{digest}"
    prefix = f"{key[0]} seed {key[1]}:"
    print(prefix, f"finished before, as {name}" if repo.experiment(name) else f"runs as {name}", flush=True)
    try:
        runner.run(name, changes, LOGS)
        return runner.scores(name)[0]
    except RefitError as error:
        print(prefix, error, flush=True)
        return str(error)


def _recipes(folder: Path) -> list[str]:
    """The recipes in a folder, without those that have no column: ax has no labels, mnli scores mnli-mm, too."""
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if not names:
        raise ParamsError(f"--recipes {folder}: has no recipes")
    return [name for name in names if name not in ("ax", "mnli-mm")]


def _all_scores(runs: list[Scores]) -> list[tuple[str, str]]:
    """(split, score) of every score of a task that is not on the leaderboard."""
    return [
        (split, name)
        for found in runs
        for split, values in found.items()
        for name in values
        if name not in ("rows", "loss")
    ]


def _mean(values: list[float]) -> str:
    return f"{fmean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


if __name__ == "__main__":
    run("glue", main, network=True, record=False)  # the stages of its runs may download
