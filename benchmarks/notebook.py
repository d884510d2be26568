"""The baseline: fine-tuning as the well-known Yelp notebook does it, on any parquet file with text and label.

Every row is tokenized with `datasets.map` and padded to the maximum length; the Trainer runs in fp32 with its default
order of rows. Prints one line of JSON: seconds and rows of each phase, the training loss and the scores.

python -m benchmarks.notebook train.parquet test.parquet MODEL_FOLDER --rows 320 --epochs 1
"""

import argparse
import json
import tempfile
import time
from typing import Any

import datasets
import numpy as np
import torch
import transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments


def main() -> None:
    """Run the notebook's cells in order and time each."""
    options = parsed()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    seconds: dict[str, float] = {}
    started = time.perf_counter()

    def lap(phase: str) -> None:
        nonlocal started
        seconds[phase] = time.perf_counter() - started
        started = time.perf_counter()

    rows = datasets.load_dataset("parquet", data_files={"train": options.train, "test": options.test})
    if options.pool:
        pick = {name: part.shuffle(seed=0).select(range(min(options.pool, len(part)))) for name, part in rows.items()}
        rows = datasets.DatasetDict(pick)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    tokenizer.model_max_length = options.max_length
    lap("load")
    rows = rows.map(
        lambda batch: tokenizer(batch["text"], padding="max_length", truncation=True),
        batched=True,
        load_from_cache_file=False,
    )
    lap("tokenize")
    cache_bytes = sum(part.data.nbytes for part in rows.values())
    if options.tokenize_only:
        print(json.dumps({"seconds": seconds}))
        return
    train = rows["train"].shuffle(seed=42).select(range(options.rows))
    held_out = rows["test"].shuffle(seed=42).select(range(options.eval_rows))
    lap("sample")
    torch.manual_seed(42)
    model = AutoModelForSequenceClassification.from_pretrained(
        options.model, num_labels=len(set(rows["train"]["label"]))
    )
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(), eval_strategy="no", save_strategy="no", per_device_train_batch_size=16,
        num_train_epochs=options.epochs, learning_rate=options.lr, seed=options.seed, logging_steps=30,
        report_to="none", disable_tqdm=True, use_cpu=not torch.cuda.is_available(), optim="adamw_torch",
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=train, eval_dataset=held_out, compute_metrics=accuracy)
    lap("load_model")
    result = trainer.train()
    lap("train")
    scores = trainer.evaluate()
    lap("evaluate")
    print(
        json.dumps(
            {
                "seconds": {phase: round(value, 3) for phase, value in seconds.items()},
                "rows": {
                    "tokenize": sum(len(part) for part in rows.values()),
                    "train": options.rows * options.epochs,
                    "evaluate": options.eval_rows,
                },
                "cache_bytes": cache_bytes,
                "train_loss": result.training_loss,
                "metrics": {name: scores[name] for name in ("eval_loss", "eval_accuracy")},
            }
        )
    )


def accuracy(prediction: Any) -> dict[str, float]:
    """The fraction of correct predictions, as the notebook computes it."""
    return {"accuracy": float((np.argmax(prediction.predictions, axis=-1) == prediction.label_ids).mean())}


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="parquet with columns text, label")
    parser.add_argument("test", help="the same, to evaluate on")
    parser.add_argument("model", help="folder or hub id of the pretrained model")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--eval-rows", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--tokenize-only", action="store_true", help="stop before the training")
    parser.add_argument("--pool", type=int, default=0, help="tokenize only this many random rows (0: all)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
