"""Which fraction of the machine's matrix-product rate a training run reached."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from refit import paths
from refit.model import classifier, device
from refit.storage.arrow import Rows

SECONDS = 0.1
SHAPE = (4096, 384, 1536)  # rows × in × out: a batch of 16 × 256 tokens through a small encoder's wide layer


def share(project: Path, figures: dict[str, Any]) -> float:
    """The fraction that one epoch in a project reached, from the figures that its train stage recorded."""
    device.use_threads("auto")
    model = classifier.finetuned(project / paths.FINETUNED_MODEL)
    operations = training_operations(model, Rows.read(project / paths.SAMPLED / "train.arrow"))
    return operations / figures["step_seconds"] / matrix_rate(figures["number_format"])


def training_operations(model: PreTrainedModel, rows: Rows) -> float:
    """The floating-point operations of training on every row once, padding not counted.

    6 for each token and weight outside of the embeddings, and 12 × layers × width × length² for attention's two
    products: twice as many backward as forward (J. Kaplan and others, arXiv 2001.08361, section 2.1).
    """
    config = model.config
    weights = sum(p.numel() for name, p in model.named_parameters() if "embeddings" not in name)
    lengths = rows.length.astype(np.float64)
    attention = 12 * config.num_hidden_layers * config.hidden_size
    return float(6 * weights * lengths.sum() + attention * (lengths**2).sum())


def matrix_rate(number: device.Format) -> float:
    """Floating-point operations per second of matrix products in a number format on this machine, the best of a few."""
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
