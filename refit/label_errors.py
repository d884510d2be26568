"""List the rows whose label is most likely wrong: cleanlab on predictions by models that were not trained on them.

python -m refit.label_errors                                 the folds of the last commit, or else the workspace's run
python -m refit.label_errors REV ... --out errors.csv        the runs of these folds, and a file to correct

C. Northcutt et al., "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tabulate import tabulate

from refit import paths, repo, targets
from refit.compare import runs
from refit.compare.runs import Run
from refit.errors import DataError, NetworkError, UsageError
from refit.escaping import one_line
from refit.repo import Revision, parse_yaml
from refit.stage import run
from refit.storage import files

CROSS_VALIDATION = dict.fromkeys(("folds", "fold", "eval_rows"))  # the params that it changes
ADVICE = (
    "for all rows: dvc exp run --queue -n cv -S folds=5 -S 'fold=range(1,6)' -S eval_rows=all, then dvc queue start"
)


@dataclass(frozen=True)
class LabelError:
    """A row whose label is likely wrong: its label, the predicted one and its probability, and the text or pair."""

    label: str
    predicted: str
    probability: str
    texts: list[str]


def main() -> None:
    """Print the most likely label errors; with --out, write all of them to a file."""
    parser = argparse.ArgumentParser(
        prog="python -m refit.label_errors", description="List the rows whose label is most likely wrong."
    )
    parser.add_argument("revisions", nargs="*", metavar="REV", help="the run of a fold: an experiment, commit or tag")
    parser.add_argument("--top", type=int, default=20, metavar="N", help="rows to print (default: 20)")
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="a new file for all of them, to correct")
    chosen = parser.parse_args()
    out = _checked_out(chosen.out) if chosen.out else None
    revisions = [repo.single(name) for name in chosen.revisions] or _folds_of_head() or [repo.single(repo.WORKSPACE)]
    of_folds = [runs.read(revision) for revision in revisions]
    errors, rows = find(of_folds)
    shown = [[one_line(cell, 40) for cell in astuple(error)[:3]] for error in errors[: max(1, chosen.top)]]
    texts = (" ‖ ".join(one_line(text, 100) for text in error.texts) for error in errors)
    table = [[rank, *cells, text] for rank, (cells, text) in enumerate(zip(shown, texts, strict=False), start=1)]
    print(tabulate(table, ("rank", "label", "predicted", "probability", "text"), "plain", disable_numparse=True))
    print(f"\n{len(errors):,} of {rows:,} rows are likely to have a wrong label" + (f": {chosen.out}" if out else ""))
    folds = of_folds[0].params.get("folds", 0)
    if len(of_folds) < max(folds, 2):
        examined = f"the rows of {len(of_folds)} of {folds} folds" if folds else "the validation rows"
        print(f"label_errors: only {examined} were examined; {ADVICE}", file=sys.stderr)
    if out:
        _write(errors, out)


def find(of_folds: Sequence[Run]) -> tuple[list[LabelError], int]:
    """The likely label errors in the validation rows of runs, the most likely first, and how many rows these are.

    Raises UsageError if cleanlab is missing or the runs are not of different folds, DataError for a task without
    classes, NetworkError if the predictions cannot be fetched.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        raise UsageError("cleanlab is not installed; run: .venv/bin/pip install cleanlab") from None
    names, tables, texts = _labels(of_folds), [], []
    for of_fold in of_folds:
        content = pa.BufferReader(of_fold.revision.from_dvc(paths.PREDICTIONS))
        table = pq.read_table(content, columns=["split", "row", "label", "probabilities"])
        tables.append(table.filter(pc.equal(table["split"], "validation")))
        texts += of_fold.texts("validation", tables[-1]["row"].to_numpy())
    together = pa.concat_tables(tables)
    labels, probabilities = together["label"].to_numpy(), np.array(together["probabilities"].to_pylist())
    if len(np.unique(labels)) < 2:
        raise DataError(f"{of_folds[0].name}: all {len(labels):,} rows have the same label; need two or more labels")
    ranked = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    best = probabilities.argmax(axis=1)
    errors = [
        LabelError(names[labels[row]], names[best[row]], f"{probabilities[row, best[row]]:.4f}", texts[row])
        for row in ranked
    ]
    return errors, len(labels)


def _labels(of_folds: Sequence[Run]) -> list[str]:
    """The label names of runs, which must be of different folds of one task."""
    first, names = of_folds[0], list[str]()
    for place, other in enumerate(of_folds):
        if other.task is None:
            raise NetworkError(other.missing)
        if other.task.problem_type != "classification":
            raise DataError(f"{other.name}: the rows of {other.task_name} have no label each; need a task of classes")
        names = names or list(other.task.labels)
        differ = {name for name in first.params | other.params if first.params.get(name) != other.params.get(name)}
        if differ - {"fold"} or names != other.task.labels:
            what = ", ".join(sorted(differ - {"fold"})) or "their labels"
            raise UsageError(f"{first.name} and {other.name} differ in {what}; need runs that differ in fold alone")
        if any(other.params.get("fold") == before.params.get("fold") for before in of_folds[:place]):
            raise UsageError(f"{other.name}: another run is of the same fold; need one run of each fold")
    return names


def _folds_of_head() -> list[Revision]:
    """The experiments on the last commit that are folds of the run that params.yaml describes."""
    repo.check_repository()
    head, found = repo.git("rev-parse", "HEAD").strip(), []
    wanted = parse_yaml(paths.PARAMS.read_bytes())
    listed = repo.git("for-each-ref", "--format=%(refname:lstrip=4)", f"refs/exps/{head[:2]}/{head[2:]}")
    for revision in map(repo.single, listed.split()):
        given = parse_yaml(revision.from_git(paths.PARAMS) or b"{}")
        if given.get("folds") and given | CROSS_VALIDATION == wanted | CROSS_VALIDATION:
            found.append(revision)
    return found


def _checked_out(given: Path) -> Path:
    """The path of a new file. Raises UsageError for one that exists: it may have corrections."""
    if given.suffix != ".csv" or given.is_file():
        raise UsageError(f"--out {given}: need the name of a new .csv file; an old one may have your corrections")
    return targets.checked("--out", given, lambda _: False)


def _write(errors: Sequence[LabelError], out: Path) -> None:
    """Write the errors as CSV; texts are exactly those of the data, so that a corrected label finds its row."""
    columns = ("text", "text_pair")[: len(errors[0].texts) if errors else 1]
    rows = ([*error.texts, error.label, error.predicted, error.probability] for error in errors)
    files.write_csv(out, [*columns, "label", "predicted", "probability"], rows)


if __name__ == "__main__":
    run("label_errors", main, record=False)
