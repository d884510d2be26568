"""Whether the fast settings cost accuracy: five seeds of them against five of the notebook's, after the same epochs.

python -m benchmarks.accuracy                 # movie_stars, 1,000 rows, 3 epochs: a quarter of an hour
python -m benchmarks.accuracy newsgroups      # 2,000 rows, 3 epochs, 512 tokens: a night

The notebook's settings are fp32, rows in random order and the model's own attention dropout; its padding to the
maximum length changes nothing but the time (tests/test_training.py holds that) and is left out here. Writes
benchmarks/ACCURACY.md, a section for each task.
"""

import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks import data
from benchmarks.run import ROOT, machine, say, set_params, stage
from refit import files

SEEDS = (1, 2, 3, 4, 5)
FAST: dict[str, object] = {"precision": "auto", "sampling": "length", "attention_dropout": 0.0}
FAITHFUL: dict[str, object] = {"precision": "fp32", "sampling": "random", "attention_dropout": "model"}
RESULTS = ROOT / "benchmarks/ACCURACY.md"


def main() -> None:
    """Train both kinds with every seed and write the section of the task that was named."""
    os.chdir(ROOT)
    task = sys.argv[1] if len(sys.argv) > 1 else "movie_stars"
    with tempfile.TemporaryDirectory() as scratch:
        place = prepare(task, Path(scratch) / "work")
        scores: dict[str, list[float]] = {"fast": [], "as the notebook": []}
        for seed in SEEDS:
            for kind, settings in (("fast", FAST), ("as the notebook", FAITHFUL)):
                say(f"{task}, {kind}, seed {seed}")
                set_params(place, seed=seed, **settings)
                stage(place, "train")
                stage(place, "evaluate")
                found: dict[str, Any] = next(iter(files.read_json(place / "metrics/scores.json").values()))
                scores[kind].append(found["validation"]["accuracy"])
    sections = RESULTS.read_text(encoding="utf-8").split("\n## ")[1:] if RESULTS.is_file() else []
    kept = [section for section in sections if not section.startswith(f"{task}\n")]
    files.write_text(RESULTS, "\n## ".join([HEAD, *kept, section_of(task, scores)]).rstrip() + "\n")
    print(section_of(task, scores))


def prepare(task: str, place: Path) -> Path:
    """A folder with the sampled rows of a task, ready to train in."""
    if task == "newsgroups":
        train, test = (pq.read_table(path) for path in data.newsgroups())
        data.raw_folder(place / "data/raw", {"train": train, "validation": test, "test": test.slice(0, 10)}, 20)
        settings: dict[str, object] = {"max_length": 512, "train_rows": 2000, "eval_rows": 1000, "lr": 5e-5}
    else:
        shutil.copytree(data.movie_stars(), place / "data/raw")
        settings = {}
    shutil.copytree(data.minilm(), place / "models/base")
    shutil.copy(ROOT / "params.yaml", place)
    set_params(place, **settings)
    stage(place, "tokenize")
    stage(place, "sample")
    return place


def section_of(task: str, scores: dict[str, list[float]]) -> str:
    """The Markdown of one task's figures."""
    lines = [
        f"{task}\n",
        machine(),
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
