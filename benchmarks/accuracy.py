"""Fine-tune on all rows of 20 Newsgroups, R8 and R52: next to TF-IDF, published results and the notebook's settings.

python -m benchmarks.accuracy                    # every run that is still missing; about ten hours on two cores
python -m benchmarks.accuracy r8 --seeds 1       # one task, one seed
python -m benchmarks.accuracy --table            # only write the table

Each run is a `dvc repro` in a clone of this repository (its last commit) in benchmarks/.cache, so a killed one resumes.
A finished run is recorded in benchmarks/accuracy.json and not repeated. Writes benchmarks/ACCURACY.md.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks import data
from benchmarks.run import ROOT, environment, machine, say, set_params
from refit.evaluation import against_baseline
from refit.storage import files

RECORDS = ROOT / "benchmarks/accuracy.json"
RESULTS = ROOT / "benchmarks/ACCURACY.md"
CLONE = data.CACHE / "clone"
COMMON: dict[str, object] = {
    "validation_share": 0.1, "train_rows": "all", "eval_rows": "all", "test_rows": "all", "batch_size": 16,
    "lr": 2e-4, "warmup": 0.1, "class_weights": "none",
}  # fmt: skip
# Enough tokens for nearly all texts, and epochs until validation no longer gains.
TASKS: dict[str, dict[str, object]] = {
    "r8": {"max_length": 256, "epochs": 6},
    "r52": {"max_length": 256, "epochs": 10},
    "newsgroups": {"max_length": 256, "epochs": 4},  # two thirds of the texts are shorter
}
SEEDS = {"r8": (1, 2, 3), "r52": (1, 2, 3), "newsgroups": (1,)}
SETTINGS: dict[str, dict[str, object]] = {
    "fast": {"precision": "auto", "sampling": "length", "attention_dropout": 0.0},
    "notebook": {"precision": "fp32", "sampling": "random", "attention_dropout": "model"},
}
# Accuracy on the same test splits. BERT-base and RoBERTa-base: Y. Lin et al., "BertGCN", Findings of ACL 2021. TextGCN:
# L. Yao et al., AAAI 2019. WideMLP: L. Galke and A. Scherp, ACL 2022.
PUBLISHED = {
    "r8": {"BERT-base": 97.8, "RoBERTa-base": 97.8, "TextGCN": 97.1, "WideMLP": 97.3},
    "r52": {"BERT-base": 96.4, "RoBERTa-base": 96.2, "TextGCN": 93.6, "WideMLP": 93.9},
    "newsgroups": {"BERT-base": 85.3, "RoBERTa-base": 83.8, "TextGCN": 86.3, "WideMLP": 83.3},
}
Record = dict[str, Any]


def main() -> None:
    """Train what is missing, and write the table after each run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description="Accuracy on all rows.")
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"{', '.join(TASKS)}; default: all")
    parser.add_argument("--seeds", type=int, default=3, help="at most so many per task (default: 3)")
    parser.add_argument("--settings", choices=SETTINGS, action="append", help="default: fast, then notebook")
    parser.add_argument("--table", action="store_true", help="do not train")
    chosen = parser.parse_args()
    if unknown := set(chosen.tasks) - TASKS.keys():
        parser.error(f"unknown task {sorted(unknown)[0]!r}; need one of {', '.join(TASKS)}")
    os.chdir(ROOT)
    records: list[Record] = files.read_json(RECORDS) if RECORDS.is_file() else []
    done = {(of["task"], of["settings"], of["seed"]) for of in records}
    for settings in [] if chosen.table else chosen.settings or SETTINGS:
        for task in chosen.tasks or TASKS:
            for seed in SEEDS[task][: chosen.seeds]:
                if (task, settings, seed) not in done:
                    records.append(run(task, settings, seed))
                    files.write_json(RECORDS, records)
                    files.write_text(RESULTS, table(records))
    files.write_text(RESULTS, table(records))
    print(table(records))


def run(task: str, settings: str, seed: int) -> Record:
    """One run with DVC, and what it found on test."""
    place = clone()
    for split, path in zip(("train", "test"), data.documents(task), strict=True):
        (place / f"data/own/{task}").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / f"data/own/{task}/{split}.parquet")
    set_params(place, task=f"own/{task}", seed=seed, **COMMON, **TASKS[task], **SETTINGS[settings])
    started = time.time()
    subprocess.run(["dvc", "repro"], cwd=place, env=environment(), check=True)
    scores = files.read_json(place / "metrics/scores.json")[f"own/{task}"]["test"]
    details = files.read_json(place / "metrics/details.json")[f"own/{task}"]["test"]
    speed = {stage: files.read_json(place / f".refit/speed/{stage}.json") for stage in ("train", "baseline")}
    say(f"{task}, {settings}, seed {seed}: accuracy {scores['accuracy']:.4f} after {time.time() - started:,.0f} s")
    return {
        "task": task, "settings": settings, "seed": seed, "scores": scores, "baseline": details["baseline"],
        "train_seconds": speed["train"]["seconds"], "baseline_seconds": speed["baseline"]["seconds"],
        "machine": machine(), "params": TASKS[task],
    }  # fmt: skip


def clone(place: Path = CLONE) -> Path:
    """A clone of this repository at its last commit, whose caches and training states are kept between runs."""
    if not place.is_dir():
        subprocess.run(["git", "clone", "--quiet", ROOT, place], check=True)
    for command in (["fetch", "--quiet"], ["reset", "--quiet", "--hard", "origin/HEAD"]):
        subprocess.run(["git", *command], cwd=place, check=True)
    return place


def table(records: list[Record]) -> str:
    """ACCURACY.md: accuracy on test by task, next to TF-IDF and published results, and fast against the notebook's."""
    lines, costs = [], []
    for task in TASKS:
        fast, notebook = (
            [of for of in records if (of["task"], of["settings"]) == (task, settings)] for settings in SETTINGS
        )
        if not fast:
            continue
        baseline = [of["baseline"]["accuracy"] for of in fast]
        published = "; ".join(f"{name} {value}" for name, value in PUBLISHED[task].items())
        verdicts = ", ".join(against_baseline.verdict(test) for test in baseline)
        seconds = statistics.median(of["train_seconds"] for of in fast)
        tfidf = f"{baseline[0]['value']:.1%} ({fast[0]['baseline_seconds']:.0f} s)"
        lines.append((task, _accuracy(fast), f"{seconds / 60:.0f} min", tfidf, verdicts, published))
        if notebook:
            slower = statistics.median(of["train_seconds"] for of in notebook) / seconds
            costs.append((task, _accuracy(fast), _accuracy(notebook), f"{slower:.1f}"))
    head = ("task", "refit", "training", "TF-IDF", "refit − TF-IDF, by seed", "published, %")
    text = HEAD + tabulate(lines, head, tablefmt="pipe") + "\n"
    if costs:
        head = ("task", "fast settings", "notebook's settings", "training time of the notebook's / fast")
        text += COST + tabulate(costs, head, tablefmt="pipe") + "\n"
    machines = sorted({of["machine"] for of in records})
    return text + "\nMachines: " + "; ".join(machines) + "\n"


def _accuracy(records: list[Record]) -> str:
    """The mean over the seeds, its standard error if there are several, and the seeds."""
    values = [of["scores"]["accuracy"] for of in records]
    error = f" ± {statistics.stdev(values) / len(values) ** 0.5:.1%}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1%}{error} ({len(values)} seed{'s' * (len(values) > 1)})"


HEAD = """# Accuracy on all rows

Accuracy on the test splits that papers use, by `python -m benchmarks.accuracy`: MiniLM (22 million parameters, BERT has
110 million), fine-tuned on 90% of the training rows. The best epoch is chosen on the other 10%. TF-IDF is trained on
the same rows. The tests are paired, on the same examples, and corrected for the number of comparisons.

"""
COST = """
## What the fast settings cost

The same runs with the notebook's settings: fp32, examples in random order, the model's own attention dropout.

"""

if __name__ == "__main__":
    main()
