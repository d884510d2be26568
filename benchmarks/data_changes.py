"""Seconds and memory of `python -m refit.compare --data` for two versions of 1,000,000 rows of about 100 characters.

python -m benchmarks.data_changes                # one minute, most of it to make the data and their git repository
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.data import raw_folder
from benchmarks.run import ROOT

LABELS = 5
CHANGED = 1_000  # rows added, removed, relabelled
# What `python -m refit.compare` runs, and its peak memory.
COMMAND = """
from refit.compare.__main__ import main
from refit.stage import peak_memory
main()
print(f"\\n{peak_memory() / 2**20:,.0f} MB")
"""


def main() -> None:
    """Make both versions in a new repository, run the command and print its seconds and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    generator = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(10_000)])
    texts = [" ".join(of_row) for of_row in words[generator.integers(0, len(words), (rows + CHANGED, 11))]]
    labels = generator.integers(0, LABELS, rows + CHANGED)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"]):
            subprocess.run(command, cwd=folder, check=True)
        save(folder, "v1", texts[:rows], labels[:rows])
        relabelled = np.where(np.arange(rows + CHANGED) < 2 * CHANGED, (labels + 1) % LABELS, labels)
        save(folder, "v2", texts[CHANGED:], relabelled[CHANGED:])
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", COMMAND, "--data", "v1", "v2"]
        subprocess.run(command, cwd=folder, env=environment, check=True)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{rows:,} rows: {wall:.1f} s, {seconds:.1f} s of CPU time")


def save(folder: Path, tag: str, texts: list[str], labels: npt.NDArray[np.int64]) -> None:
    """Commit data/raw with these rows, nine in ten of them in train."""
    table, start = pa.table({"text": texts, "label": labels}), len(texts) * 9 // 10
    raw_folder(folder / "data/raw", {"train": table[:start], "validation": table[start:]}, LABELS)
    identity = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@example.com"]
    for command in (
        ["dvc", "add", "--quiet", "data/raw"], ["git", "add", "--all"],
        ["git", *identity, "commit", "--quiet", "--message", tag], ["git", "tag", tag],
    ):  # fmt: skip
        subprocess.run(command, cwd=folder, check=True)


if __name__ == "__main__":
    main()
