"""How near a run comes to what the machine can do: its floating-point operations against measured matrix products."""

import time

import numpy as np
import torch
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from refit.model import device
from refit.storage.arrow import Rows

SECONDS = 0.1
SHAPE = (4096, 384, 1536)  # rows × in × out: a batch of 16 × 256 tokens through a small encoder's wide layer


class StepClock(TrainerCallback):  # type: ignore[misc]
    """The training steps done by this process and their seconds, without evaluation, checkpoints and logging."""

    def __init__(self) -> None:
        self.steps = 0
        self.seconds = 0.0
        self.started = 0.0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Stop the clock."""
        self.steps += 1
        self.seconds += time.perf_counter() - self.started


def training_operations(model: PreTrainedModel, rows: Rows) -> float:
    """The floating-point operations of training on every row once, padding not counted.

    6 for each token and weight outside of the embeddings, and 12 × layers × width × length² for attention's two
    products: twice as many backward as forward (J. Kaplan and others, arXiv 2001.08361, section 2.1).
    """
    config = model.config
    embedded = sum(p.numel() for name, p in model.named_parameters() if "embeddings" in name)
    weights = sum(p.numel() for p in model.parameters()) - embedded
    lengths = rows.length.astype(np.float64)
    layers = getattr(config, "num_hidden_layers", 0) or 0
    width = getattr(config, "hidden_size", 0) or 0
    return float(6 * weights * lengths.sum() + 12 * layers * width * (lengths**2).sum())


def matrix_rate(number: device.Format) -> float:
    """Floating-point operations a second of matrix products in a number format on this machine, the best of a few."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(number, torch.float32)
    rows, width, out = SHAPE
    place = device.device()
    left, right = torch.ones(rows, width, dtype=dtype, device=place), torch.ones(width, out, dtype=dtype, device=place)
    best, until = 0.0, time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        start = time.perf_counter()
        (left @ right)[0, 0].item()
        best = max(best, 2 * rows * width * out / (time.perf_counter() - start))
    return best
