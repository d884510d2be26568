"""The model with its classification head, and the collator that fits its tokenizer."""

from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from refit.errors import DataError
from refit.modeling.batching import Collator

logging.disable_progress_bar()  # its bars of an instant's work would hide ours


def new(base: Path, task: dict[str, Any], attention_dropout: float | Literal["model"]) -> PreTrainedModel:
    """The pretrained encoder with a fresh head for the task's labels (one output for regression).

    The head's weights come from torch's global generator: seed it first.
    """
    config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    if task["problem_type"] == "regression":
        config.num_labels, config.problem_type = 1, "regression"
        config.id2label, config.label2id = {0: "score"}, {"score": 0}
    else:
        config.id2label = dict(enumerate(task["labels"]))
        config.label2id = {label: index for index, label in config.id2label.items()}
        config.problem_type = "single_label_classification"
    if attention_dropout != "model":
        _set_attention_dropout(config, attention_dropout)
    return _load(base, config)


def finetuned(folder: Path) -> PreTrainedModel:
    """A model that `train` saved, ready to predict."""
    return _load(folder, AutoConfig.from_pretrained(folder, trust_remote_code=False)).eval()


def collator(
    model_folder: Path, width: int | Literal["longest"] = "longest", device: torch.device | None = None
) -> Collator:
    """The collator of a model's tokenizer: its padding id, and token types where its model takes them."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder, trust_remote_code=False)
    on_gpu = device is not None and device.type == "cuda"
    return Collator(
        pad_id=tokenizer.pad_token_id or 0,
        token_types="token_type_ids" in tokenizer.model_input_names,
        width=width,
        multiple=8 if on_gpu else 1,
    )


def _load(folder: Path, config: Any) -> PreTrainedModel:
    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, config=config, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"{folder}: the model cannot be loaded ({reason}); choose an encoder that classifies text"
        ) from None
    # The tensors are views of the mapped file, so the length of its header decides how they are aligned in memory, and
    # alignment changes the last bits of a product. torch aligns a copy to 64 bytes, as it does the weights in training.
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    return model


def _set_attention_dropout(config: Any, rate: float) -> None:
    """Set the dropout of attention weights under the name that this kind of model has for it."""
    names = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop")
    known = [name for name in names if hasattr(config, name)]
    for name in known:
        setattr(config, name, rate)
