"""Accuracy of the default settings and of the notebook's, five seeds each, after the same number of epochs.

python -m benchmarks.accuracy                 # movie_stars, 1,000 rows, 3 epochs: a quarter of an hour
python -m benchmarks.accuracy newsgroups      # 2,000 rows, 2 epochs, 128 tokens: an hour

The notebook's settings are fp32, examples in random order and the model's own attention dropout. Its padding to the
maximum length changes only the time, so it is left out here. One run per core trains in parallel, with one thread.
Writes benchmarks/ACCURACY.md, one section per task.
"""

import argparse
import os
import shutil
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from benchmarks import data
from benchmarks.run import ROOT, machine, say, set_params, stage
from refit.storage import files

SEEDS = (1, 2, 3, 4, 5)
KINDS: dict[str, dict[str, object]] = {
    "fast": {"precision": "auto", "sampling": "length", "attention_dropout": 0.0},
    "as the notebook": {"precision": "fp32", "sampling": "random", "attention_dropout": "model"},
}
TASKS: dict[str, dict[str, object]] = {
    "movie_stars": {"train_rows": 1000, "eval_rows": 1000, "epochs": 3},
    "newsgroups": {"train_rows": 2000, "eval_rows": 1000, "epochs": 2, "max_length": 128, "lr": 5e-5},
}
RESULTS = ROOT / "benchmarks/ACCURACY.md"


def main() -> None:
    """Train with both settings and every seed, and write the section of the chosen task."""
    os.chdir(ROOT)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description="Accuracy of the fast settings.")
    parser.add_argument("task", nargs="?", choices=TASKS, default="movie_stars")
    task = parser.parse_args().task
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(psutil.cpu_count(logical=False)) as pool:
        prepared = prepare(task, Path(scratch) / "prepared")
        begun = {kind: pool.map(accuracy, repeat(prepared), repeat(kind), SEEDS) for kind in KINDS}
        scores = {kind: list(found) for kind, found in begun.items()}
    sections = RESULTS.read_text(encoding="utf-8").split("\n## ")[1:] if RESULTS.is_file() else []
    kept = [section for section in sections if not section.startswith(f"{task}\n")]
    files.write_text(RESULTS, "\n## ".join([HEAD, *kept, section_of(task, scores)]).rstrip() + "\n")
    print(section_of(task, scores))


def prepare(task: str, place: Path) -> Path:
    """A folder with the sampled splits of a task, ready for training."""
    if task == "newsgroups":
        train, test = (pq.read_table(path) for path in data.newsgroups())
        data.raw_folder(place / "data/raw", {"train": train, "validation": test, "test": test.slice(0, 10)}, 20)
    else:
        shutil.copytree(data.movie_stars(), place / "data/raw")
    shutil.copytree(data.minilm(), place / "models/base")
    shutil.copy(ROOT / "params.yaml", place)
    set_params(place, threads=1, **TASKS[task])
    stage(place, "tokenize")
    stage(place, "sample")
    return place


def accuracy(prepared: Path, kind: str, seed: int) -> float:
    """Validation accuracy with one kind of settings and one seed, trained in a separate folder."""
    place = prepared.parent / f"{kind}-{seed}"
    shutil.copytree(prepared, place)
    set_params(place, seed=seed, **KINDS[kind])
    stage(place, "train")
    stage(place, "evaluate")
    found: dict[str, Any] = next(iter(files.read_json(place / "metrics/scores.json").values()))
    shutil.rmtree(place)
    score: float = found["validation"]["accuracy"]
    say(f"{kind}, seed {seed}: {score:.4f}")
    return score


def section_of(task: str, scores: dict[str, list[float]]) -> str:
    """The Markdown section of one task."""
    lines = [
        f"{task}\n",
        ", ".join(f"{name} {value}" for name, value in TASKS[task].items()) + f"; {machine()}",
        "",
        "| settings | mean accuracy | standard error | seeds 1 to 5 |",
        "|---|---|---|---|",
    ]
    for kind, values in scores.items():
        error = statistics.stdev(values) / len(values) ** 0.5
        each = ", ".join(f"{value:.3f}" for value in values)
        lines.append(f"| {kind} | {statistics.mean(values):.4f} | {error:.4f} | {each} |")
    return "\n".join(lines) + "\n"


HEAD = """# Accuracy of the fast settings

Validation accuracy after the same epochs, five seeds each, by `python -m benchmarks.accuracy TASK`.
"""

if __name__ == "__main__":
    main()
