"""Predict with a fine-tuned model: one text, a file of any size, or a split of its task.

python -m refit.predict "text" ["its pair"]
python -m refit.predict --file in.csv --out out.parquet
python -m refit.predict --split test
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from refit import targets
from refit.errors import DataError, ParamsError
from refit.stage import heavy_imports, run

if TYPE_CHECKING:
    from refit.predict.model_source import Finished
    from refit.predict.predictor import Predictor

SUBMISSIONS = Path("submissions")
MOST_LABELS = 10  # printed for one text


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m refit.predict", description="Label texts with a fine-tuned model.", allow_abbrev=False
    )
    parser.add_argument("text", nargs="*", help="one text, or two for a task of pairs")
    parser.add_argument(
        "--file", type=targets.path, help="csv, tsv, jsonl or parquet with a column text (and text_pair)"
    )
    parser.add_argument("--split", help="a split of the run's task: test writes GLUE's and CLUE's submission files")
    parser.add_argument(
        "--out", type=targets.path, help="the .parquet file for the predictions; for a submission, a folder"
    )
    parser.add_argument(
        "--model", type=os.path.expanduser, help="a folder, a git revision or an experiment (default: models/finetuned)"
    )
    chosen = parser.parse_args(given)
    ways = [bool(chosen.text), chosen.file is not None, chosen.split is not None]
    if sum(ways) != 1:
        raise ParamsError('need one of: a text in quotes, --file, --split; like: python -m refit.predict "a text"')
    if len(chosen.text) > 2:
        raise ParamsError(f"got {len(chosen.text)} texts, need one, or two for a pair; put each in quotes")
    if chosen.file is not None and chosen.out is None:
        raise ParamsError("--file needs --out: the .parquet file for the predictions")
    if chosen.text and chosen.out is not None:
        raise ParamsError("--out needs --file or --split; of a text the prediction is printed")
    return chosen


def main() -> None:
    """Do what the command line says."""
    chosen = arguments()
    with heavy_imports():
        from refit.predict import model_source
        from refit.predict.predictor import Predictor

    with model_source.find(chosen.model, chosen.split) as found:
        predictor = Predictor(found)
        if chosen.split is not None:
            _predict_split(predictor, found, chosen.split, chosen.out)
        elif chosen.file is not None:
            from refit.predict import batch

            is_pair = None if found.task is None else found.task.is_pair
            rows = batch.write(predictor, found.model, chosen.file, chosen.out, is_pair=is_pair)
            print(f"{rows:,} rows, labelled by {found.name}: {chosen.out}")
        else:
            _predict_text(predictor, found, chosen.text)


def _predict_text(predictor: "Predictor", found: "Finished", texts: list[str]) -> None:
    """Print the most likely labels with their probabilities."""
    from refit.model import inference

    _check_pair(found, is_pair=len(texts) == 2)
    if not all(text.strip() for text in texts):
        raise ParamsError("the text is blank; need some words")
    logits = predictor.logits(texts[:1], texts[1:] or None)
    if predictor.is_regression:
        print(f"{logits[0, 0]:.4f}")
        return
    chances = inference.probabilities(logits)[0]
    best = (-logits[0]).argsort(kind="stable")[:MOST_LABELS]
    width = max(len(predictor.labels[index]) for index in best)
    for index in best:
        print(f"{predictor.labels[index]:<{width}}  {chances[index]:.4f}")
    if len(chances) > len(best):
        print(f"{len(chances) - len(best):,} labels are less likely; for every probability use --file and --out")


def _predict_split(predictor: "Predictor", found: "Finished", split: str, out: Path | None) -> None:
    """Label a split's raw rows: as leaderboard files where there is a leaderboard, else as parquet."""
    from refit.predict import batch, leaderboard

    if found.task is None or found.data is None:
        raise ParamsError("--split: a model folder alone has no data; need a revision, an experiment or the workspace")
    if split not in found.task.splits:
        raise ParamsError(f"--split {split}: the task {found.task.name} has {', '.join(found.task.splits)}")
    parts = leaderboard.PARTS.get(found.task.name, {}) if split == "test" else {}
    splits = [name for name in found.task.splits if name in parts]
    for name in splits or [split]:
        if not (found.data / f"{name}.parquet").is_file():
            raise DataError(f"{found.data / name}.parquet is not there; run: dvc repro download")
    if not splits:
        if out is None:
            raise ParamsError(f"--split {split}: need --out, the .parquet file for the predictions")
        rows = batch.write_raw(predictor, found.model, found.data / f"{split}.parquet", out)
        print(f"{rows:,} rows of {split}, labelled by {found.name}: {out}")
        return
    names = leaderboard.CLUE_FILES if found.task.name == "afqmc" else leaderboard.GLUE_FILES
    folder = leaderboard.checked_folder(out or SUBMISSIONS, names, [parts[name].file for name in splits])
    predictions = {
        name: _predictions(predictor, found.data / f"{name}.parquet", found.task.splits[name].rows) for name in splits
    }
    written = [leaderboard.write(parts[name], predictions[name], predictor.labels, folder) for name in splits]
    leaderboard.say(written, *leaderboard.pack(folder, names))


def _predictions(predictor: "Predictor", source: Path, total: int) -> list[float]:
    from refit.evaluation import metrics
    from refit.predict import batch
    from refit.stage import bar

    found: list[float] = []
    with bar(total=total, desc=f"predict {source.stem}") as progress:
        for texts, pairs in batch.windows(batch.raw_rows(source)):
            logits = predictor.logits(texts, pairs, progress)
            found += metrics.predictions_of(logits, is_regression=predictor.is_regression).tolist()
    return found


def _check_pair(found: "Finished", *, is_pair: bool) -> None:
    if found.task is not None and found.task.is_pair != is_pair:
        need = "two texts" if found.task.is_pair else "one text"
        raise ParamsError(f"the task {found.task.name} labels {need} at a time, got {1 + is_pair}")


if __name__ == "__main__":
    run("predict", main, record=False)
