"""Text in, a fine-tuned model's answers out: the same encoding and the same forward pass as evaluate."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from refit.errors import DataError
from refit.model import classifier, cpu_bf16, device
from refit.model.inference import Inference, Values
from refit.predict.model_source import Finished
from refit.storage import files
from refit.tokenization import engines, tokenization
from refit.tokenization.parity_check import CheckedEngine, EnginesDifferError
from refit.tokenization.token_batch import Encoded

CHECKED_ROWS = 64  # of each call, whose ids are compared with the model's own tokenizer's


class Predictor:
    """A model ready to answer, with the tokenizer and the settings that it was trained with.

    Raises DataError when the folder is not a model that classifies text, ParamsError when `max_length` is more than
    the model takes.
    """

    def __init__(self, run: Finished) -> None:
        self.settings = run.settings
        self.max_length = run.settings.max_length or _own_limit(run.model)
        self.engine, self.reference = engines.load(_checked(run.model), self.max_length)
        device.use_threads(run.settings.threads)
        self.number = device.number_format(run.settings.precision, run.model)
        model = classifier.finetuned(run.model)
        cpu_bf16.speed_up(model, self.number)
        collate = classifier.collator(run.model, device=device.device())
        self.inference = Inference(model, collate, run.settings.batch_size, self.number)
        names = model.config.id2label
        self.is_regression = len(names) == 1
        self.labels: list[str] = [] if self.is_regression else [names[index] for index in range(len(names))]

    def logits(self, texts: Sequence[str], pairs: Sequence[str] | None, progress: "tqdm[Any] | None" = None) -> Values:
        """The raw outputs (rows, labels) for texts, or for pairs of texts, in their order."""
        rows = tokenization.rows_of(self._encode(list(texts), None if pairs is None else list(pairs)))
        return self.inference.logits(rows, progress or tqdm(disable=True))

    def _encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        if self.engine is self.reference:
            return self.reference.encode(texts, pairs)
        stride = max(1, len(texts) // CHECKED_ROWS)
        with suppress(EnginesDifferError):
            return CheckedEngine(self.engine, self.reference, stride).encode(texts, pairs)
        print(
            f"predict: {self.engine.name} and the model's own tokenizer disagree; the model's own, which is slower, "
            "is used from here on",
            file=sys.stderr,
        )
        self.engine = self.reference
        return self.reference.encode(texts, pairs)


def _checked(model: Path) -> Path:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if not (model / name).is_file():
            raise DataError(f"{model}: has no {name}; save it with AutoTokenizer.from_pretrained(...).save_pretrained")
    kinds = files.read_json(model / "config.json").get("architectures") or ["of an unknown kind"]
    if not kinds[0].endswith("ForSequenceClassification"):
        raise DataError(f"{model}: is a {kinds[0]} without a classification head; need a fine-tuned model")
    return model


def _own_limit(model: Path) -> int:
    """The tokens of a row that a model which comes alone keeps: its tokenizer's limit, or its positions."""
    limit = engines.length_limit(_checked(model))
    if limit is None:
        raise DataError(f"{model}: neither tokenizer_config.json nor config.json says how long a text may be")
    return limit
