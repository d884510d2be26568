"""Time of a complete training step on this CPU in bf16, with and without each part of refit/model/cpu_kernels.py.

python -m benchmarks.kernels                       # an encoder of MiniLM's size with random weights
python -m benchmarks.kernels --model models/base   # a pretrained one

A step is forward, backward, gradient clipping and fused AdamW on 16 examples, whose lengths are spread over the last
fifth below the stated number of tokens, as batches of similar lengths are. All variants take turns in random order, so
that other work on the machine slows each of them down alike. A part has to make the step 1.1 times as fast to stay.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig, PreTrainedModel, logging

from refit.model import cpu_kernels, device

LENGTHS = (32, 64, 128, 256, 512)  # tokens
BATCH = 16
MINILM = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)

ATTENTION: dict[str, Callable[[PreTrainedModel], object]] = {
    "sdpa": lambda model: model.set_attn_implementation("sdpa"),
    "eager": lambda model: model.set_attn_implementation("eager"),
    "refit": cpu_kernels.use_fast_attention,
}
# attention, whether dropout is refit's, whether hidden states are bf16
Variant = tuple[str, bool, bool]
COMPARISONS: list[tuple[str, Variant, Variant]] = [  # what is compared, without it, with it
    ("refit's attention for sdpa, all other parts on", ("sdpa", True, True), ("refit", True, True)),
    ("refit's attention for eager, all other parts on", ("eager", True, True), ("refit", True, True)),
    ("eager for sdpa, all other parts on", ("sdpa", True, True), ("eager", True, True)),
    ("dropout, all other parts on", ("refit", False, True), ("refit", True, True)),
    ("bf16 hidden states, all other parts on", ("refit", True, False), ("refit", True, True)),
    ("refit's attention for sdpa, alone", ("sdpa", False, False), ("refit", False, False)),
    ("refit's attention for eager, alone", ("eager", False, False), ("refit", False, False)),
    ("eager for sdpa, alone", ("sdpa", False, False), ("eager", False, False)),
    ("dropout, with eager", ("eager", False, False), ("eager", True, False)),
    ("bf16 hidden states, with eager", ("eager", False, False), ("eager", False, True)),
    ("bf16 hidden states, with eager and dropout", ("eager", True, False), ("eager", True, True)),
    ("dropout, with eager and bf16 hidden states", ("eager", False, True), ("eager", True, True)),
    ("all three parts for sdpa", ("sdpa", False, False), ("refit", True, True)),
]


def main() -> None:
    """Measure every variant at every length and print one line per comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a pretrained encoder; default: random, of MiniLM's size")
    parser.add_argument("--repeats", type=int, default=15, help="steps of each variant and length (default 15)")
    chosen = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    device.use_threads("auto")
    variants = list(dict.fromkeys(variant for _, *pair in COMPARISONS for variant in pair))
    steps = {variant: training_step(build(chosen.model, variant)) for variant in variants}
    seconds = {length: measure(steps, batch(length), chosen.repeats) for length in LENGTHS}
    heads = " | ".join(f"{length} tokens" for length in LENGTHS)
    print("Median milliseconds without → with the part, and the speed-up (in brackets: of the fastest steps).\n")
    print(f"| part | {heads} |\n|---{'|---' * len(LENGTHS)}|")
    for name, without, with_part in COMPARISONS:
        cells = [cell(times[without], times[with_part]) for times in seconds.values()]
        print(f"| {name} | {' | '.join(cells)} |")


def build(folder: Path | None, variant: Variant) -> PreTrainedModel:
    """A model with five labels and the parts of a variant."""
    config = MINILM if folder is None else AutoConfig.from_pretrained(folder)
    config.num_labels, config.attention_probs_dropout_prob = 5, 0.0  # as params.yaml sets it
    torch.manual_seed(0)
    model: PreTrainedModel
    if folder is None:
        model = AutoModelForSequenceClassification.from_config(config)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder, config=config)
    attention, fast_dropout, bf16_states = variant
    ATTENTION[attention](model)
    if fast_dropout:
        cpu_kernels.use_fast_dropout(model)
    if bf16_states:
        cpu_kernels.use_bf16_hidden_states(model)
    return model.train()


def batch(length: int) -> dict[str, torch.Tensor]:
    """16 examples of 0.8 to 1 times so many tokens."""
    lengths = torch.linspace(0.8 * length, length, BATCH).long()
    generator = torch.Generator().manual_seed(length)
    return {
        "input_ids": torch.randint(1000, 20_000, (BATCH, length), generator=generator),
        "attention_mask": (torch.arange(length) < lengths[:, None]).long(),
        "labels": torch.arange(BATCH) % 5,
    }


def training_step(model: PreTrainedModel) -> Callable[[dict[str, torch.Tensor]], None]:
    """A function that trains a model on a batch, as the Trainer does in bf16."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step(tensors: dict[str, torch.Tensor]) -> None:
        with device.autocast("bf16"):
            loss = model(**tensors).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure(
    steps: dict[Variant, Callable[[dict[str, torch.Tensor]], None]], tensors: dict[str, torch.Tensor], repeats: int
) -> dict[Variant, list[float]]:
    """Seconds of each repetition of every step, in turns; a first round to warm up is not counted."""
    seconds: dict[Variant, list[float]] = {variant: [] for variant in steps}
    for _ in range(repeats + 1):
        for variant in random.sample(list(steps), len(steps)):
            started = time.perf_counter()
            steps[variant](tensors)
            seconds[variant].append(time.perf_counter() - started)
    return {variant: times[1:] for variant, times in seconds.items()}


def cell(without: list[float], with_part: list[float]) -> str:
    """Both medians and their ratio, and the ratio of the minima."""
    before, after = statistics.median(without), statistics.median(with_part)
    fastest = min(without) / min(with_part)
    return f"{1000 * before:.0f} → {1000 * after:.0f}: {before / after:.2f}× ({fastest:.2f}×)"


if __name__ == "__main__":
    main()
