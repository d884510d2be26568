"""The paths of the pipeline's files, relative to the root of the repository, in which every stage runs."""

import os
from pathlib import Path

PARAMS = Path("params.yaml")

OWN = Path("data/own")
DATA_SOURCE = Path("data/source.json")
RAW = Path("data/raw")
TASK = RAW / "task.json"
TOKENIZED = Path("data/tokenized")
SAMPLED = Path("data/sampled")

MODEL_SOURCE = Path("models/source.json")
BASE_MODEL = Path("models/base")
MODEL_RECORD = "model.json"  # in BASE_MODEL: where it is from, and each file's hash
FINETUNED_MODEL = Path("models/finetuned")

METRICS_MANIFEST = Path("metrics/manifest.json")
SCORES = Path("metrics/scores.json")
DETAILS = Path("metrics/details.json")
PREDICTIONS = Path("metrics/predictions.parquet")
CONFUSION = Path("metrics/confusion.csv")
SCATTER = Path("metrics/scatter.csv")
CALIBRATION = Path("metrics/calibration.csv")
HISTORY = Path("metrics/history.csv")
STEPS = Path("metrics/steps.csv")
REPORT = Path("metrics/report.html")
MODEL_CARD = Path("metrics/model_card.md")
BASELINE_SCORES = Path("metrics/baseline.json")
BASELINE_KEY = "tf-idf"  # in BASELINE_SCORES, so that the columns of `dvc exp show` differ from those of SCORES
BASELINE = Path("metrics/baseline")
BASELINE_PREDICTIONS = BASELINE / "predictions.parquet"
LOCAL_SPEED = Path(".refit/speed")
EVALUATIONS = "REFIT_EVALUATIONS"  # the variable that names a file: training appends a line for each evaluation


def state_folder() -> Path:
    """The untracked folder of resumable state and timings, in the main repository also for DVC's temporary copies."""
    root = os.environ.get("DVC_ROOT")
    home = Path(root) if root and (Path(root) / ".dvc").is_dir() else Path.cwd()
    return home / ".refit"
