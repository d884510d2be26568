"""Predict with a fine-tuned model: one text, a file of any size, or a split of its task.

python -m refit.predict "text" ["its pair"]
python -m refit.predict --file in.csv --out out.parquet
python -m refit.predict --split test
python -m refit.predict --file pool.csv --most-uncertain 200 --out to_label.json
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from refit.errors import DataError, ParamsError
from refit.stage import heavy_imports, run

if TYPE_CHECKING:
    from refit.download.task_registry import Leaderboard
    from refit.predict.model_source import FinetunedModel
    from refit.predict.predictor import Predictor

SUBMISSIONS = Path("submissions")
MOST_LABELS = 10  # printed for one text


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line. Raises ParamsError."""
    parser = argparse.ArgumentParser(
        prog="python -m refit.predict", description="Predict with a fine-tuned model.", allow_abbrev=False
    )
    parser.add_argument("text", nargs="*", help="one text, or two for a task of pairs")
    parser.add_argument("--file", type=Path, help="csv, tsv, jsonl or parquet: column text (and text_pair)")
    parser.add_argument("--split", help="a split of the run's task: test writes GLUE's and CLUE's submission files")
    parser.add_argument("--out", type=Path, help=".parquet file for the predictions; folder for a submission")
    parser.add_argument(
        "--most-uncertain", type=int, metavar="N",
        help="write only the N rows that the model is least sure of, for Label Studio: --out FILE.json or .jsonl",
    )  # fmt: skip
    parser.add_argument("--model", type=os.path.expanduser, help="folder, revision or experiment (the workspace's)")
    chosen = parser.parse_args(given)
    if bool(chosen.text) + bool(chosen.file) + bool(chosen.split) != 1 or len(chosen.text) > 2:
        raise ParamsError(
            f"got {len(chosen.text)} texts; need one of: a text in quotes (two for a pair), --file FILE, --split SPLIT"
        )
    if (chosen.file is not None and chosen.out is None) or (chosen.text and chosen.out is not None):
        raise ParamsError("--file needs --out, the .parquet file for the predictions; for a text they are printed")
    if chosen.most_uncertain is not None and (chosen.most_uncertain < 1 or chosen.out is None):
        raise ParamsError("--most-uncertain: need a whole number >= 1, --file or --split, and --out FILE.json")
    return chosen


def main() -> None:
    """Predict what the command line names."""
    chosen = arguments()
    with heavy_imports():
        from refit.predict import batch, leaderboard, model_source, to_label
        from refit.predict.predictor import Predictor

    with model_source.find(chosen.model, chosen.split) as model:
        predictor = Predictor(model)
        if chosen.text:
            return _predict_text(predictor, chosen.text)
        source, of_split = chosen.file, ""
        if chosen.split is not None:
            sources, board = _sources(model, chosen.split, is_submission=chosen.most_uncertain is None)
            if board is not None:
                folder = leaderboard.checked_folder(chosen.out or SUBMISSIONS, board)
                predicted = {name: batch.labels(predictor, path) for name, path in sources.items()}
                return leaderboard.write(board, predicted, predictor.labels, folder)
            if chosen.out is None:
                raise ParamsError(f"--split {chosen.split}: need --out, the .parquet file for the predictions")
            source, of_split = sources[chosen.split], f" of {chosen.split}"
        if chosen.most_uncertain is not None:
            rows = to_label.write(predictor, source, chosen.most_uncertain, chosen.out, is_split=bool(of_split))
            print(f"{rows:,} rows{of_split} to label, predicted by {model.name}: {chosen.out}")
        else:
            rows = batch.write(predictor, source, chosen.out, is_split=bool(of_split))
            print(f"{rows:,} rows{of_split}, labelled by {model.name}: {chosen.out}")


def _sources(
    model: "FinetunedModel", split: str, *, is_submission: bool
) -> tuple[dict[str, Path], "Leaderboard | None"]:
    """The files in data/raw to predict for a split: of all splits of its leaderboard, if it has one, or its own."""
    from refit.download.task_registry import TASKS

    task, raw = model.task, model.raw
    if task is None or raw is None:
        raise ParamsError("--split: a model folder alone has no data; need a revision, an experiment or the workspace")
    if split not in task.splits:
        raise ParamsError(f"--split {split}: the task {task.name} has {', '.join(task.splits)}")
    board = TASKS[task.name].leaderboard if is_submission and split == "test" and task.name in TASKS else None
    sources = {name: raw / f"{name}.parquet" for name in (board.files if board else [split])}
    for source in sources.values():
        if not source.is_file():
            raise DataError(f"{source} is not there; run: dvc repro download")
    return sources, board


def _predict_text(predictor: "Predictor", texts: list[str]) -> None:
    """Print the most likely labels with their probabilities, or the value of a regression."""
    from refit.evaluation import decisions

    task = predictor.model.task
    if task is not None and task.is_pair != (len(texts) == 2):
        need = "two texts" if task.is_pair else "one text"
        raise ParamsError(f"the task {task.name} labels {need} at a time, got {len(texts)}")
    logits = predictor.logits([tuple(texts)])
    if predictor.problem_type == "regression":
        print(f"{logits[0, 0]:.4f}")
        return
    probabilities = decisions.probabilities(logits, predictor.problem_type)[0]
    (predicted,) = predictor.predictions(logits)
    best = (-logits[0]).argsort(kind="stable")[:MOST_LABELS]
    width = max(len(predictor.labels[index]) for index in best)
    for index in best:
        label = predictor.labels[index]
        is_predicted = predictor.thresholds and label in ([predicted] if isinstance(predicted, str) else predicted)
        print(f"{label:<{width}}  {probabilities[index]:.4f}{'  predicted' if is_predicted else ''}")


if __name__ == "__main__":
    run("predict", main, record=False)
