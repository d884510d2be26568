"""What `long_texts` costs and gains: head, head_tail and windows on all rows of 20 Newsgroups, at 128 and 512 tokens.

python -m benchmarks.long_texts               # every run that is still missing
python -m benchmarks.long_texts --rows 300    # a quick try on a few rows; prints the table and records nothing
python -m benchmarks.long_texts --table       # only write the table

Each run is a `dvc repro` in a clone of this repository (its last commit) in benchmarks/.cache, so a killed one resumes.
A finished run is recorded in benchmarks/long_texts.json, its test predictions next to the clone, and not repeated.
Writes benchmarks/LONG_TEXTS.md.
"""

import argparse
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tabulate import tabulate

from benchmarks import data
from benchmarks.accuracy import COMMON, SETTINGS, clone
from benchmarks.run import ROOT, environment, machine, say, set_params
from refit.evaluation import against_baseline, significance
from refit.params import LongTexts
from refit.storage import files

RECORDS = ROOT / "benchmarks/long_texts.json"
RESULTS = ROOT / "benchmarks/LONG_TEXTS.md"
CLONE = data.CACHE / "long_texts_clone"
PREDICTIONS = data.CACHE / "long_texts"
LENGTHS = (128, 512)
EPOCHS = 6
Record = dict[str, Any]


def main() -> None:
    """Train what is missing, and write the table after each run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_texts", description="Cost and gain of long_texts.")
    parser.add_argument("--rows", type=int, help="at most so many rows of each split; records nothing")
    parser.add_argument("--table", action="store_true", help="do not train")
    chosen = parser.parse_args()
    os.chdir(ROOT)
    is_try = chosen.rows is not None
    records: list[Record] = files.read_json(RECORDS) if RECORDS.is_file() and not is_try else []
    done = {(of["max_length"], of["long_texts"]) for of in records}
    for max_length in () if chosen.table else LENGTHS:
        for how in get_args(LongTexts):
            if (max_length, how) not in done:
                records.append(run(max_length, how, chosen.rows))
                if not is_try:
                    files.write_json(RECORDS, records)
                    files.write_text(RESULTS, table(records))
    if not is_try:
        files.write_text(RESULTS, table(records))
    print(table(records))


def run(max_length: int, how: str, rows: int | None) -> Record:
    """One run with DVC, and what it found on test, compared with the head of the same length."""
    place = clone(CLONE)
    (place / "data/own/newsgroups").mkdir(parents=True, exist_ok=True)
    for split, path in zip(("train", "test"), data.newsgroups(), strict=True):
        shutil.copy(path, place / f"data/own/newsgroups/{split}.parquet")
    few = dict.fromkeys(("train_rows", "eval_rows", "test_rows"), rows) if rows else {}
    given = {**COMMON, **SETTINGS["fast"], **few, "max_length": max_length, "long_texts": how}
    set_params(place, task="own/newsgroups", seed=1, epochs=EPOCHS, **given)
    # From its run cache, DVC would take a run that was killed before it was recorded, without its timings.
    subprocess.run(["dvc", "repro", "--no-run-cache"], cwd=place, env=environment(), check=True)
    trained, evaluated = (files.read_json(place / f".refit/speed/{stage}.json") for stage in ("train", "evaluate"))
    sizes = files.read_json(place / "data/tokenized/manifest.json")["test.arrow"]
    texts = files.read_json(place / "data/sampled/manifest.json")["train.arrow"]["rows"]
    seconds = EPOCHS * texts / trained["rows"] * trained["loop_seconds"]  # a run that resumed timed its last part
    accuracy = files.read_json(place / "metrics/scores.json")["own/newsgroups"]["test"]["accuracy"]
    say(f"{how} of {max_length} tokens: accuracy {accuracy:.4f} after {seconds:,.0f} s of training")
    return {
        "max_length": max_length, "long_texts": how, "accuracy": accuracy, "test": compared(place, max_length, how),
        "windows": sizes.get("windows", sizes["rows"]) / sizes["rows"], "full": sizes["at_max_length"] / sizes["rows"],
        "train_seconds": seconds, "evaluate_rate": evaluated["rows"] / evaluated["loop_seconds"], "machine": machine(),
    }  # fmt: skip


def compared(place: Path, max_length: int, how: str) -> Record | None:
    """The difference of accuracy to the head of the same length, with its p-value, by McNemar's test."""
    everything = pq.read_table(place / "metrics/predictions.parquet", columns=["split", "row", "label", "prediction"])
    table = everything.filter(pc.equal(everything["split"], "test"))
    PREDICTIONS.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, PREDICTIONS / f"{max_length}-{how}.parquet")
    if how == "head":
        return None
    head = pq.read_table(PREDICTIONS / f"{max_length}-head.parquet")
    assert np.array_equal(head["row"], table["row"]), "the same examples"
    columns = (column.to_numpy() for column in (table["label"], head["prediction"], table["prediction"]))
    found = significance.difference("accuracy", *columns)
    return {"difference": found.value, "interval": [found.low, found.high], "p": found.p}


def table(records: list[Record]) -> str:
    """LONG_TEXTS.md: accuracy on test, and what it costs, by length and treatment of long texts."""
    tested = [of["test"] for of in records if of["test"]]
    corrected = iter(significance.holm([test["p"] for test in tested]))
    lines = []
    for of in records:
        verdict = against_baseline.verdict({**of["test"], "p": next(corrected)}) if of["test"] else ""
        cost = (f"{of['train_seconds'] / 60:.1f} min", f"{of['evaluate_rate']:.0f}")
        rows = (of["max_length"], of["long_texts"], f"{of['windows']:.2f}")
        lines.append((*rows, f"{of['accuracy']:.1%}", verdict, *cost))
    head = ("max_length", "long_texts", "rows of a text", "accuracy", "− head", "training", "evaluated texts/s")
    heads = [of for of in records if of["long_texts"] == "head"]
    full = ", ".join(f"{of['full']:.0%} at {of['max_length']}" for of in heads)
    machines = "; ".join(sorted({of["machine"] for of in records}))
    text = tabulate(lines, head, tablefmt="pipe")
    return f"{HEAD}{text}\n\nTest texts that reach max_length: {full}. Machines: {machines}\n"


HEAD = f"""# Long texts

All rows of 20 Newsgroups, by `python -m benchmarks.long_texts`: MiniLM, {EPOCHS} epochs, one seed, 90% of the training
rows; the best epoch is chosen on the other 10%. The tests are McNemar's, on the same test texts, and corrected for
the number of comparisons. They say nothing about other seeds.

"""

if __name__ == "__main__":
    main()
