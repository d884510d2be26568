"""Run several tasks with several seeds, and print the GLUE table with the leaderboard's average.

python -m refit.glue                                     every recipe in recipes/glue, seed 42
python -m refit.glue --tasks cola rte --seeds 1 2 3      some of them
python -m refit.glue --set train_rows=1000 epochs=1      change these params of every recipe

Each run is a DVC experiment in a temporary clone. The same command resumes after a stop: finished runs are not
repeated, failed ones are. The table shows the scores or the error of every run.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from tabulate import tabulate

from refit import params, repo
from refit.errors import ParamsError, RefitError
from refit.evaluation.metrics import SCORES
from refit.experiments import runner
from refit.stage import run

RECIPES = Path("recipes/glue")
LOGS = Path(".refit/glue")

# The leaderboard's average is over these nine tasks.
NINE = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")

Key = tuple[str, int]  # the task and the seed of a run
Scores = dict[str, dict[str, float]]  # {split: {score: value}}


def main() -> None:
    """Run whatever has not finished yet, then print the table. Raises RefitError if a run failed."""
    parser = argparse.ArgumentParser(prog="python -m refit.glue", description="Run tasks and print the GLUE table.")
    parser.add_argument("--tasks", nargs="+", help="names of recipes in --recipes (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    parser.add_argument("--set", nargs="+", default=[], metavar="PARAM=VALUE", help="changes to every recipe")
    parser.add_argument("--recipes", type=Path, default=RECIPES, help="folder (default: recipes/glue)")
    chosen = parser.parse_args()
    repo.check_repository()
    tasks = [recipe(chosen.recipes, task, chosen.set) for task in chosen.tasks or _recipes(chosen.recipes)]
    runs = {(task["task"], seed): {**task, "seed": seed} for task in tasks for seed in chosen.seeds}
    results = {key: _run(key, changes) for key, changes in runs.items()}
    print("\n" + table(results))
    failed = [f"{task} seed {seed}" for (task, seed), result in results.items() if isinstance(result, str)]
    if failed:
        raise RefitError(
            f"{len(failed)} of {len(results)} failed: {', '.join(failed)}; fix it and run the same command again"
        )


def recipe(folder: Path, task: str, changes: list[str]) -> dict[str, Any]:
    """The params of a recipe with the changes of --set. Raises ParamsError."""
    path = folder / f"{task}.yaml"
    if not path.is_file():
        raise ParamsError(f"--tasks {task}: {path} does not exist; choose from: {', '.join(_recipes(folder))}")
    values = params.values(path)
    for change in changes:
        key, _, text = change.partition("=")
        value = None
        with suppress(ValueError):
            value = repo.parse_yaml(text)
        if key not in values or value is None:
            raise ParamsError(f"--set {change}: need PARAM=VALUE, PARAM one of {', '.join(values)}")
        values[key] = value
    return values


def average(scores: Mapping[str, Scores]) -> float | None:
    """The leaderboard's average of {task: scores.json of the task}, in percent; None unless all nine are there.

    A task with two scores counts with their mean, MNLI with the mean of matched and mismatched, CoLA with Matthews
    alone, AX not at all (GLUE: Wang et al. 2018, section 5: unweighted averages).
    """
    if not scores.keys() >= set(NINE):
        return None
    of_tasks = [_flat(scores[task]) for task in NINE]
    return 100 * fmean(of_task.get("validation matthews_correlation", fmean(of_task.values())) for of_task in of_tasks)


def table(results: Mapping[Key, Scores | str]) -> str:
    """One line per task and score (mean and standard deviation over the seeds), and one per failed run."""
    values: dict[tuple[str, str], list[float]] = {}
    finished: dict[int, dict[str, Scores]] = {}
    for (task, seed), result in results.items():
        if not isinstance(result, str):
            finished.setdefault(seed, {})[task] = result
            for score, value in _flat(result).items():
                values.setdefault((task, score), []).append(100 * value)
    lines = [(task, score, str(len(of)), _mean(of)) for (task, score), of in values.items()]
    lines += [(task, f"seed {seed}", "", of) for (task, seed), of in results.items() if isinstance(of, str)]
    averages = [found for scores in finished.values() if (found := average(scores)) is not None]
    mean = _mean(averages) if averages else "needs all nine tasks with the same seed"
    lines.append(("GLUE", "average", str(len(averages) or ""), mean))
    return str(tabulate(lines, ("task", "score", "seeds", "value"), tablefmt="plain", disable_numparse=True))


def _flat(scores: Scores) -> dict[str, float]:
    """{split and name: value} of the scores of a run."""
    return {f"{split} {name}": value for split, of in scores.items() for name, value in of.items() if name in SCORES}


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


def _mean(values: list[float]) -> str:
    return f"{fmean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


if __name__ == "__main__":
    run("glue", main, network=True, record=False)  # the stages of its runs may download
