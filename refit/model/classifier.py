"""The model with its classification head, and the collator that fits its tokenizer."""

from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from refit.data.task_record import TaskRecord
from refit.errors import DataError
from refit.evaluation import decisions
from refit.model import device
from refit.model.batching import Collator
from refit.model.device import say

MULTI_LABEL = "multi_label_classification"  # the problem type for which transformers' pipeline takes the sigmoid

logging.disable_progress_bar()  # it would overwrite refit's progress bar


def new(base: Path, task: TaskRecord, attention_dropout: float | Literal["model"]) -> PreTrainedModel:
    """The pretrained encoder with a head for the task's labels (one output for regression).

    A fine-tuned classifier keeps its head if its labels are the task's, in the same order. The weights of a new head
    are drawn from torch's global generator: seed it first.
    """
    config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    old_labels, was_multi_label = list(config.id2label.values()), config.problem_type == MULTI_LABEL
    if hasattr(config, decisions.KEY):
        delattr(config, decisions.KEY)
    if task.is_regression:
        config.num_labels, config.problem_type = 1, "regression"
        config.id2label, config.label2id = {0: "score"}, {"score": 0}
    else:
        config.id2label = dict(enumerate(task.labels))
        config.label2id = {label: index for index, label in config.id2label.items()}
        config.problem_type = MULTI_LABEL if task.is_multi_label else "single_label_classification"
    if attention_dropout != "model":
        for name in ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop"):  # depending on the model type
            if hasattr(config, name):
                setattr(config, name, attention_dropout)
    model, found = _load(base, config, mismatched=True)
    if found["missing_keys"]:  # a pretrained encoder without a head
        return model
    is_same = old_labels == list(config.id2label.values()) and was_multi_label == task.is_multi_label
    if is_same and not found["mismatched_keys"]:
        say("train: the model is a classifier with this task's labels: its head is kept")
        return model
    say(f"train: the model is a classifier for {len(old_labels)} labels, not for this task's: starting with a new head")
    renewed: PreTrainedModel = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    renewed.base_model.load_state_dict(model.base_model.state_dict())
    return renewed


def finetuned(folder: Path) -> PreTrainedModel:
    """The model in a folder, ready to predict. Raises DataError when it cannot be loaded."""
    return _load(folder, AutoConfig.from_pretrained(folder, trust_remote_code=False))[0].eval()


def collator(model_folder: Path, width: int | Literal["longest"] = "longest") -> Collator:
    """The collator for a model's tokenizer; on a CUDA device its widths are multiples of 8."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder, trust_remote_code=False)
    return Collator(
        pad_id=tokenizer.pad_token_id or 0,
        token_types="token_type_ids" in tokenizer.model_input_names,
        width=width,
        multiple=8 if device.device().type == "cuda" else 1,
    )


def _load(folder: Path, config: Any, *, mismatched: bool = False) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model, and the keys that transformers found missing or, if `mismatched`, accepted with another shape."""
    try:
        model, found = AutoModelForSequenceClassification.from_pretrained(
            folder, config=config, trust_remote_code=False, use_safetensors=True, dtype=torch.float32,
            output_loading_info=True, ignore_mismatched_sizes=mismatched,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"{folder}: the model cannot be loaded ({reason}); choose an encoder that classifies text"
        ) from None
    # The tensors are views of the memory-mapped file, so that the length of its header decides their alignment, which
    # changes the last bits of a product. torch aligns a copy to 64 bytes, like the weights in training.
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    return model, found
