"""List the rows whose label is most likely wrong: cleanlab on predictions by models that were not trained on them.

python -m refit.label_errors                                 the folds of the last commit, or else the workspace's run
python -m refit.label_errors REV ... --out errors.csv        the runs of these folds, and a file to correct

C. Northcutt et al., "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from refit import paths, repo, targets
from refit.compare import comparison, runs
from refit.compare.output import table
from refit.compare.runs import Run
from refit.errors import DataError, NetworkError, UsageError
from refit.evaluation.predictions import probabilities
from refit.repo import Revision, parse_yaml
from refit.stage import run
from refit.storage import files

CROSS_VALIDATION = dict.fromkeys(("folds", "fold", "eval_rows"))  # the params that it changes
COLUMNS = ("label", "predicted", "probability", "text", "text_pair")


def main() -> None:
    """Print the most likely label errors; with --out, write all of them to a file."""
    parser = argparse.ArgumentParser(prog="python -m refit.label_errors", description="List likely label errors.")
    parser.add_argument("revisions", nargs="*", metavar="REV", help="the run of a fold: an experiment, commit or tag")
    parser.add_argument("--top", type=int, default=20, metavar="N", help="rows to print (default: 20)")
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="a new file for all of them, to correct")
    chosen = parser.parse_args()
    # An old file may have corrections.
    out = targets.checked("--out", chosen.out, lambda _: False) if chosen.out else None
    revisions = [repo.single(name) for name in chosen.revisions] or _folds_of_head() or [repo.single(repo.WORKSPACE)]
    examined = pooled([runs.read(revision) for revision in revisions])
    errors = find(examined)
    if errors:
        print(table(errors[: max(1, chosen.top)]) + "\n")
    rows = len(examined.predicted["validation"])
    print(f"{len(errors):,} of {rows:,} rows are likely to have a wrong label" + (f": {chosen.out}" if out else ""))
    folds = examined.params.get("folds", 0)
    if len(examined.folds) < max(folds, 2):
        part = f"the rows of {len(examined.folds)} of {folds} folds" if folds else "the validation rows"
        print(f"label_errors: only {part} were examined; for all, see docs/label_errors.md", file=sys.stderr)
    if out:
        # The texts are exactly those of the data, so that a corrected label finds its row.
        columns = list(errors[0]) if errors else COLUMNS
        files.write_csv(out, columns, (list(error.values()) for error in errors))


def pooled(of_folds: Sequence[Run]) -> Run:
    """The runs of different folds as one run of all their validation rows. Raises UsageError if they differ otherwise.

    A single run may have no folds.
    """
    groups = comparison.grouped(of_folds)
    found = groups[0].of("validation")
    if len(groups) > 1 or len(found) > 1:
        names = " ".join(of_fold.name for of_fold in of_folds)
        raise UsageError(f"{names}: need one run of each fold, all else equal; see: python -m refit.compare {names}")
    return found[0]


def find(examined: Run) -> list[dict[str, str]]:
    """The likely label errors in the validation rows of a run, the most likely first: {column: value}.

    Raises UsageError if cleanlab is missing, DataError for a task without classes, NetworkError if the predictions
    cannot be fetched.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        raise UsageError("cleanlab is not installed; run: .venv/bin/pip install cleanlab") from None
    task = examined.task
    if task is None or examined.missing:
        raise NetworkError(examined.missing)
    if task.problem_type != "classification":
        raise DataError(f"{examined.name}: the rows of {task.name} have no label each; need a task of classes")
    predicted = examined.predicted["validation"]
    labels, chances = predicted["label"].to_numpy(), probabilities(predicted)
    if len(np.unique(labels)) < 2:
        raise DataError(f"{examined.name}: all {len(labels):,} rows have the same label; need two or more labels")
    ranked = find_label_issues(labels, chances, return_indices_ranked_by="self_confidence", n_jobs=1)
    texts = [
        of_row
        for fold in examined.folds or [examined]
        for of_row in runs.texts(fold.revision, "validation", fold.predicted["validation"]["row"])
    ]
    best = chances.argmax(axis=1)
    errors = []
    for row in ranked:
        values = (task.labels[labels[row]], task.labels[best[row]], f"{chances[row, best[row]]:.4f}", *texts[row])
        errors.append(dict(zip(COLUMNS, values, strict=False)))
    return errors


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


if __name__ == "__main__":
    run("label_errors", main, record=False)
