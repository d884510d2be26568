"""Predict the logits of texts with a fine-tuned model, encoded and batched as in evaluate."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from tqdm import tqdm

from refit.data.task_record import ProblemType
from refit.errors import DataError, ParamsError
from refit.evaluation import decisions
from refit.model import classifier, cpu_bf16, device
from refit.model.inference import Inference, Values
from refit.predict.model_source import FinetunedModel
from refit.storage import files
from refit.tokenization import engines, parity_check, tokenization
from refit.tokenization.long_texts import Cutter
from refit.tokenization.token_batch import Encoded

CHECKED_ROWS = 64  # of each call, whose ids are compared with those of the model's own tokenizer

Row = tuple[str, ...]  # (text,) or (text, text_pair)


class Predictor:
    """A fine-tuned model, loaded with its tokenizer and the settings of its run.

    `labels` are the class names in the order of the logits, none for a regression. Raises DataError if the folder has
    no model that classifies texts, ParamsError if `max_length` is more than the model can take.
    """

    def __init__(self, model: FinetunedModel) -> None:
        _check(model)
        self.model = model
        limit = model.max_length or engines.length_limit(model.folder)
        if limit is None:
            raise DataError(f"{model.folder}: no limit in tokenizer_config.json or config.json; need model_max_length")
        self.max_length = limit
        self.engine, self.reference = engines.load(model.folder, self.max_length, model.long_texts)
        self.cutter = Cutter.of(model.long_texts, self.reference)
        device.use_threads(model.settings.threads)
        self.number = device.number_format(model.settings.precision, model.folder)
        classifier_model = classifier.finetuned(model.folder)
        cpu_bf16.speed_up(classifier_model, self.number)
        collate = classifier.collator(model.folder)
        self.inference = Inference(classifier_model, collate, model.settings.eval_batch_size, self.number)
        config = classifier_model.config
        names = [config.id2label[index] for index in range(len(config.id2label))]
        kind: ProblemType = "multi_label" if config.problem_type == classifier.MULTI_LABEL else "classification"
        self.problem_type: ProblemType = "regression" if len(names) == 1 else kind
        self.labels: list[str] = names if len(names) > 1 else []
        self.thresholds = decisions.of_config(config.to_dict(), names)

    def predictions(self, logits: Values) -> list[Any]:
        """What logits (rows, labels) mean: a label's name, the list of the labels of a multi-label task, or a value."""
        found = decisions.predictions(logits, self.problem_type, self.thresholds)
        if self.problem_type == "multi_label":
            return [[self.labels[index] for index in np.flatnonzero(of_row)] for of_row in found > 0]
        return [self.labels[index] for index in found] if self.labels else list(found)

    def logits(self, rows: Sequence[Row], progress: "tqdm[Any] | None" = None) -> Values:
        """The logits (rows, labels) of texts or pairs of texts, in their order."""
        texts, *pairs = map(list, zip(*rows, strict=True))
        if pairs and self.cutter.how != "head":
            raise ParamsError(f"the model labels single texts (long_texts: {self.cutter.how}), got a pair")
        encoded = self._encode(texts, pairs[0] if pairs else None)
        return self.inference.logits(tokenization.rows_of(*self.cutter.rows(encoded)), progress or tqdm(disable=True))

    def _encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        if self.engine is not self.reference:
            with suppress(parity_check.EnginesDifferError):
                stride = max(1, len(texts) // CHECKED_ROWS)
                return parity_check.encode(self.engine, self.reference, stride, texts, pairs)
            print(
                f"predict: {self.engine.name} and the model's own tokenizer disagree on a row; all further rows are "
                "encoded by the model's own tokenizer, which is slower",
                file=sys.stderr,
            )
            self.engine = self.reference
        return self.reference.encode(texts, pairs)


def _check(model: FinetunedModel) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if not (model.folder / name).is_file():
            raise DataError(f"{model.folder}: has no {name}; save it with the tokenizer's save_pretrained")
    kinds = files.read_json(model.folder / "config.json").get("architectures") or ["a model of an unknown kind"]
    if not kinds[0].endswith("ForSequenceClassification"):
        raise DataError(f"{model.folder}: is {kinds[0]} without a classification head; need a fine-tuned model")
