"""Command that prints the scores of the last run, the timings of its stages, and what to try next.

python -m refit.summary
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tabulate import tabulate

from refit import paths, repo
from refit.data.task_record import TaskRecord
from refit.errors import DataError
from refit.evaluation.against_baseline import is_better, verdict
from refit.evaluation.significance import LEVEL
from refit.params import STAGES
from refit.stage import run
from refit.storage import files

NEXT = """\
Model    {model}    from transformers import pipeline; pipeline("text-classification", "{model}")
Report   {report}

Try next (after: source .venv/bin/activate)
  dvc exp run -S lr=2e-5              change one number; only what depends on it runs again
  dvc exp show                        every run so far, side by side
  cp recipes/glue/mrpc.yaml params.yaml && dvc repro      another task, with its tutorial's settings
  README.md: your own data, sweeps, comparing commits"""


def scores() -> str:
    """The table of scores in metrics/: one line per split and score, with its 95% interval and the baseline's score.

    Raises DataError if the pipeline has not been run.
    """
    try:
        by_task: dict[str, Any] = files.read_json(paths.SCORES)
        details: dict[str, Any] = files.read_json(paths.DETAILS)
    except FileNotFoundError as error:
        repo.check_repository()
        raise DataError(f"{error.filename} is not there yet; run: make repro") from None
    rows = [
        (task, split, name, f"{values[name]:.4f}", f"{low:.3f} to {high:.3f}", f"{test['value']:.4f}", verdict(test))
        for task, splits in by_task.items()
        for split, values in splits.items()
        for name, (low, high) in details[task][split]["intervals"].items()
        for test in [details[task][split]["baseline"][name]]
    ]
    head = ["task", "split", "score", "value", "95% interval", "TF-IDF", "difference to TF-IDF"]
    task = TaskRecord.read(paths.TASK)
    return "\n".join([_table(head, rows), "", *_remarks(task, details[task.name])])


def _remarks(task: TaskRecord, details: dict[str, Any]) -> Iterator[str]:
    path = paths.LOCAL_SPEED / "baseline.json"
    seconds = f" in {files.read_json(path)['seconds']:.0f} s" if path.is_file() else ""
    yield f"TF-IDF is a linear model, trained{seconds} on the same examples. real: p < {LEVEL}, by a paired test."
    split = min(details)  # test, if it has labels
    if not is_better(details[split]["baseline"][task.best_score]):
        name = f"{task.best_score} on {split}"
        yield f"The {name} is not shown to be better than that of a linear model that trains{seconds or ' in seconds'}."
    for who, of in task.human.items():
        scores = ", ".join(f"{name} {value:.3f}" for name, value in of.items())
        yield f"People: {who} against the mean of the others: {scores}"


def timings() -> str:
    """The table of stage timings in .refit/speed: seconds, throughput of the main loop, and peak memory.

    A stage that has never run on this machine, because DVC took its outputs from the cache, has no line. The table is
    empty if there are no timings.
    """
    rows = []
    for stage in (*STAGES, "report"):
        path = paths.LOCAL_SPEED / f"{stage}.json"
        if path.is_file():
            of = files.read_json(path)
            seconds = of.get("loop_seconds", of["seconds"])  # rounded: of a short stage 0.0
            speeds = (f"{of[unit] / seconds:,.0f}" if unit in of and seconds else "" for unit in ("rows", "tokens"))
            rows.append((stage, f"{of['seconds']:.2f}", *speeds, f"{of['peak_memory_mb']:,} MB"))
    head = ["stage", "seconds", "rows/s", "tokens/s", "peak memory"]
    return _table(head, rows, ["left", *["right"] * 4]) if rows else ""


def _table(head: list[str], rows: Iterable[Sequence[str]], colalign: Sequence[str] | None = None) -> str:
    return str(tabulate(rows, head, tablefmt="plain", disable_numparse=True, colalign=colalign))


def main() -> None:
    """Print the tables and the next steps."""
    argparse.ArgumentParser(prog="python -m refit.summary", description="Print scores and timings.").parse_args()
    parts = [scores(), timings(), NEXT.format(model=paths.FINETUNED_MODEL, report=paths.REPORT)]
    print("\n\n".join(filter(None, parts)))


if __name__ == "__main__":
    run("summary", main, record=False)
