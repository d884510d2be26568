"""The files that the leaderboards of GLUE and CLUE take, from a model's predictions for their test examples.

docs/predict.md describes their formats: a zip of tab-separated files for GLUE, of one file of JSON lines for CLUE.
"""

import json
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from refit import targets
from refit.download.task_registry import TASKS, Leaderboard
from refit.storage import files

ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same predictions give the same bytes


def checked_folder(out: Path, board: Leaderboard) -> Path:
    """The folder in `out` for the submission to which a task's files belong.

    Raises UsageError if one of these files or the zip is the user's: not a zip that `write` made, or not in it.
    """
    folder = out / board.name
    packed = targets.checked("--out", folder.with_suffix(".zip"), lambda path: bool(_packed(path, board)))
    ours = _packed(packed, board)
    for name in board.files.values():
        targets.checked("--out", folder / name, lambda path: ours.get(path.name) == path.read_bytes())
    return folder


def write(board: Leaderboard, predictions: Mapping[str, Sequence[Any]], labels: Sequence[str], folder: Path) -> None:
    """Write a task's files into `folder`, zip all files that are there, and print what a submission still lacks.

    `predictions` are the label names, or values for STS-B, of each split.
    """
    written = [folder / board.files[split] for split in predictions]
    for path, of_split in zip(written, predictions.values(), strict=True):
        files.write_text(path, "".join(f"{line}\n" for line in _lines(board, path.name, of_split, labels)))
    names = _all_files(board)
    packed = folder.with_suffix(".zip")
    there = [name for name in names if (folder / name).is_file()]
    with files.replaced_file(packed) as target, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in there:
            archive.writestr(zipfile.ZipInfo(name, ZIP_DATE), (folder / name).read_bytes(), zipfile.ZIP_DEFLATED)
    print(f"{', '.join(map(str, written))}; packed in {packed}")
    if missing := [name for name in names if name not in there]:
        print(f"predict: a complete submission also needs {', '.join(missing)}", file=sys.stderr)


def _all_files(board: Leaderboard) -> list[str]:
    """Every file of a complete submission, in the order of the task table."""
    boards = [task.leaderboard for task in TASKS.values() if task.leaderboard]
    return list(dict.fromkeys(file for other in boards if other.name == board.name for file in other.files.values()))


def _packed(path: Path, board: Leaderboard) -> dict[str, bytes]:
    """The files in a zip that `write` made; none of another zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries, names = archive.infolist(), _all_files(board)
            if any(entry.filename not in names or entry.date_time != ZIP_DATE for entry in entries):
                return {}
            return {entry.filename: archive.read(entry) for entry in entries}
    except (OSError, zipfile.BadZipFile):
        return {}


def _lines(board: Leaderboard, name: str, predictions: Sequence[Any], labels: Sequence[str]) -> list[str]:
    if board.name == "clue":
        return [json.dumps({"id": row, "label": str(labels.index(label))}) for row, label in enumerate(predictions)]
    if not labels:
        shown = [f"{min(max(float(value), 0.0), 5.0):.3f}" for value in predictions]
    else:
        shown = [label if board.label_names else str(labels.index(label)) for label in predictions]
    return ["index\tprediction", *(f"{row}\t{label}" for row, label in enumerate(shown))]
