"""The files that the leaderboards of GLUE and CLUE take, from a model's answers on their test rows.

GLUE (gluebenchmark.com; its file names and words are those of the benchmark authors' own tool, jiant, write_preds with
strict_glue_format): one tab-separated file a task with the header `index	prediction`, index counting from 0, in a zip
with nothing else. The NLI tasks want words, the others label numbers, STS-B a number from 0 to 5 with three decimals.
CLUE (github.com/CLUEbenchmark/CLUE, its note on submissions): `afqmc_predict.json`, one JSON object a line, id a number
and label text, in the order of test.json, in a zip.
"""

import json
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refit import targets
from refit.storage import files

GLUE_FILES = (
    "CoLA.tsv", "SST-2.tsv", "MRPC.tsv", "STS-B.tsv", "QQP.tsv", "MNLI-m.tsv", "MNLI-mm.tsv", "QNLI.tsv", "RTE.tsv",
    "WNLI.tsv", "AX.tsv",
)  # fmt: skip
CLUE_FILES = ("afqmc_predict.json",)
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same answers give the same bytes


@dataclass(frozen=True)
class Part:
    """What a split of a task is called on its leaderboard, and whether its labels are words there."""

    file: str
    words: bool = False


PARTS: dict[str, dict[str, Part]] = {
    "cola": {"test": Part("CoLA.tsv")},
    "sst2": {"test": Part("SST-2.tsv")},
    "mrpc": {"test": Part("MRPC.tsv")},
    "stsb": {"test": Part("STS-B.tsv")},
    "qqp": {"test": Part("QQP.tsv")},
    "mnli": {
        "test": Part("MNLI-m.tsv", words=True),
        "test_mismatched": Part("MNLI-mm.tsv", words=True),
        "test_ax": Part("AX.tsv", words=True),
    },
    "mnli-mm": {"test": Part("MNLI-mm.tsv", words=True)},
    "ax": {"test": Part("AX.tsv", words=True)},
    "qnli": {"test": Part("QNLI.tsv", words=True)},
    "rte": {"test": Part("RTE.tsv", words=True)},
    "wnli": {"test": Part("WNLI.tsv")},
    "afqmc": {"test": Part("afqmc_predict.json")},
}


def checked_folder(out: Path, names: Sequence[str], wanted: Sequence[str]) -> Path:
    """The folder in `out` for a submission of the files `names`, of which `wanted` are to be written.

    Raises UsageError where one of them, or the zip of all, is the user's: not the zip that `pack` makes, or not in it.
    """
    folder = out / ("clue" if names == CLUE_FILES else "glue")
    packed = targets.checked("--out", folder.with_suffix(".zip"), lambda path: bool(_packed(path, names)))
    ours = _packed(packed, names)
    for name in wanted:
        targets.checked("--out", folder / name, lambda path: ours.get(path.name) == path.read_bytes())
    return folder


def _packed(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The files in a zip that `pack` made; none of another zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(entry.filename not in names or entry.date_time != ZIP_DATE for entry in archive.infolist()):
                return {}
            return {name: archive.read(name) for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return {}


def write(part: Part, predictions: Sequence[Any], labels: Sequence[str], folder: Path) -> Path:
    """Write one file of a submission into `folder`; `predictions` are label indices, or values for STS-B."""
    target = folder / part.file
    if part.file in CLUE_FILES:
        lines = [json.dumps({"id": row, "label": str(int(answer))}) for row, answer in enumerate(predictions)]
    else:
        shown = [_glue_label(part, answer, labels) for answer in predictions]
        lines = ["index\tprediction", *(f"{row}\t{answer}" for row, answer in enumerate(shown))]
    files.write_text(target, "\n".join(lines) + "\n")
    return target


def pack(folder: Path, names: Sequence[str]) -> tuple[Path, list[str]]:
    """Zip the files of a submission that are there; returns the zip and the names of those that are not."""
    there = [name for name in names if (folder / name).is_file()]
    target = folder.with_suffix(".zip")
    with files.replaced_file(target) as packed, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in there:
            archive.writestr(zipfile.ZipInfo(name, ZIP_DATE), (folder / name).read_bytes(), zipfile.ZIP_DEFLATED)
    return target, [name for name in names if name not in there]


def say(written: list[Path], packed: Path, missing: list[str]) -> None:
    """Tell what was written and what a whole submission still lacks."""
    print(f"{', '.join(str(path) for path in written)}; packed in {packed}")
    if missing:
        print(f"predict: a whole submission also needs {', '.join(missing)}", file=sys.stderr)


def _glue_label(part: Part, answer: Any, labels: Sequence[str]) -> str:
    if part.file == "STS-B.tsv":
        return f"{min(max(float(answer), 0.0), 5.0):.3f}"
    return labels[int(answer)] if part.words else str(int(answer))
