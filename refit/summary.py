"""What to read when a run has ended: the scores, where the model lies and what to try next.

python -m refit.summary
"""

from typing import Any

from refit import paths, repo
from refit.errors import DataError
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


def table() -> str:
    """The scores of metrics/, one line a split and score, with 95% intervals."""
    try:
        scores: dict[str, Any] = files.read_json(paths.SCORES)
        details: dict[str, Any] = files.read_json(paths.DETAILS)
    except FileNotFoundError as error:
        repo.check_repository()
        raise DataError(f"{error.filename} is not there yet; run: make repro") from None
    lines = [("task", "split", "score", "value", "95% interval", "rows")]
    for task, splits in scores.items():
        for split, values in splits.items():
            for name, (low, high) in details[task][split]["intervals"].items():
                lines.append(
                    (task, split, name, f"{values[name]:.4f}", f"{low:.3f} to {high:.3f}", f"{values['rows']:,}")
                )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def main() -> None:
    """Print the table and what comes next."""
    print(table(), NEXT.format(model=paths.FINETUNED_MODEL, report=paths.REPORT), sep="\n\n")


if __name__ == "__main__":
    run("summary", main, record=False)
