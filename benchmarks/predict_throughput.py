"""Rows per second that `refit.predict` and transformers' pipeline with its defaults label, on the same file.

python -m benchmarks.predict_throughput                    # models/finetuned on 2,000 rows of data/raw/train.parquet
python -m benchmarks.predict_throughput --precision fp32   # the same number format on both sides

Both read the file, label every row and keep the predictions; loading the model is not counted. They take turns, twice,
and the best of each counts.
"""

import argparse
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
from transformers import pipeline

from benchmarks.run import timed
from refit import params
from refit.predict import batch
from refit.predict.model_source import FinetunedModel
from refit.predict.predictor import Predictor

ROUNDS = 2


def main() -> None:
    """Print the two throughputs, their ratio, and the number of equal labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/finetuned"))
    parser.add_argument("--file", type=Path, default=Path("data/raw/train.parquet"))
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--threads", type=int, help="of both; 1 varies less on a machine with other work")
    parser.add_argument("--max-length", type=int, default=128)
    chosen = parser.parse_args()

    scratch = tempfile.TemporaryDirectory()
    source = Path(scratch.name) / "rows.parquet"
    pq.write_table(pq.read_table(chosen.file, columns=["text"]).slice(0, chosen.rows), source)
    settings = params.Evaluate(eval_batch_size=64, precision=chosen.precision, threads=chosen.threads or "auto")
    predictor = Predictor(FinetunedModel(str(chosen.model), chosen.model, settings, chosen.max_length))
    classify = pipeline("text-classification", model=str(chosen.model), device="cpu")
    predictions: dict[str, list[str]] = {}

    def with_pipeline() -> None:
        texts = [text for (text,) in batch.read(source)]
        found = classify(texts, truncation=True, max_length=chosen.max_length)
        predictions["pipeline"] = [one["label"] for one in found]

    def with_refit() -> None:
        target = Path(scratch.name) / "out.parquet"
        batch.write(predictor, source, target)
        predictions["refit"] = pq.read_table(target)["label"].to_pylist()

    rows = sum(1 for _ in batch.read(source))
    classify([text for (text,), _ in zip(batch.read(source), range(32), strict=False)])
    best = {"pipeline": 0.0, "refit": 0.0}
    for _ in range(ROUNDS):
        for name, label in (("pipeline", with_pipeline), ("refit", with_refit)):
            best[name] = max(best[name], rows / timed(label))
    same = sum(ours == theirs for ours, theirs in zip(predictions["refit"], predictions["pipeline"], strict=True))
    for name, rate in best.items():
        print(f"{name:<9} {rate:10,.0f} rows/s")
    print(
        f"ratio     {best['refit'] / best['pipeline']:10.1f}   ({predictor.number}; {same} of {rows} labels the same)"
    )


if __name__ == "__main__":
    main()
