"""How many planted label errors refit.label_errors finds: 5% of 3,000 rows of R8 get another label at random.

python -m benchmarks.label_errors                # about five minutes on two cores

Trains on five folds, each a DVC experiment in a clone of this repository (its last commit) in benchmarks/.cache. Prints
the precision of the first 100 rows that the command lists, of as many as were planted and of all, and the recall.
"""

import csv
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import accuracy, data
from benchmarks.run import ROOT, set_params, shell

ROWS, FOLDS, PLANTED, SEED = 3000, 5, 0.05, 42
SETTINGS: dict[str, object] = {
    "folds": FOLDS, "test_share": 0, "train_rows": "all", "eval_rows": "all", "max_length": 64, "epochs": 2,
    "lr": 2e-4, "class_weights": "none",
}  # fmt: skip


def main() -> None:
    """Plant the errors, train the folds, and compare what the command lists with what was planted."""
    os.chdir(ROOT)
    place = accuracy.clone(data.CACHE / "planted")
    texts, right, labels = plant()
    folder = place / "data/own/planted"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": texts, "label": labels}), folder / "train.parquet")
    set_params(place, task="own/planted", **SETTINGS)
    for fold in range(1, FOLDS + 1):
        shell(place, "dvc", "exp", "run", "--force", "--name", f"planted-{fold}", "--set-param", f"fold={fold}")
    found = place / "label_errors.csv"
    found.unlink(missing_ok=True)
    shell(place, "python", "-m", "refit.label_errors", "--out", found.name)
    wrong = dict(zip(texts, right != labels, strict=True))
    with found.open(newline="") as file:
        hits = np.array([wrong[row["text"]] for row in csv.DictReader(file)])
    planted = sum(wrong.values())
    print(f"{planted} planted in {len(texts):,} rows; {len(hits)} listed")
    print(
        f"precision at 100 {hits[:100].mean():.2f}, at {planted} {hits[:planted].mean():.2f}, of all {hits.mean():.2f}"
    )
    print(f"recall           {hits.sum() / planted:.2f}")


def plant() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Training texts of R8, all different, their labels, and the labels with errors."""
    table = pq.read_table(data.documents("r8")[0])
    rows = dict(zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True))
    generator = np.random.default_rng(SEED)
    sample = generator.choice(len(rows), ROWS, replace=False)
    texts = np.array(list(rows), dtype=object)[sample].tolist()
    right = np.array(list(rows.values()))[sample]
    chosen = generator.choice(len(right), round(PLANTED * len(right)), replace=False)
    labels, classes = right.copy(), right.max() + 1
    labels[chosen] = (right[chosen] + generator.integers(1, classes, len(chosen))) % classes
    return texts, right, labels


if __name__ == "__main__":
    main()
