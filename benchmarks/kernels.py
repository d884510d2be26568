"""Time of a complete training step on this CPU in bf16, with and without each change of refit/model/cpu_bf16.py.

python -m benchmarks.kernels                       # an encoder of MiniLM's size with random weights
python -m benchmarks.kernels --model models/base   # a pretrained one

A step is forward, backward, gradient clipping and fused AdamW on 16 examples, whose lengths are spread over the last
fifth below the stated number of tokens, as batches of similar lengths are. All variants take turns in random order, so
that other work on the machine slows each of them down alike. A change has to make the step 1.1 times as fast to stay.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig, PreTrainedModel, logging

from refit.model import cpu_bf16, device

LENGTHS = (32, 64, 128, 256)  # tokens
BATCH = 16
MINILM = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)

Variant = tuple[str, bool, bool]  # attention implementation, whether hidden states are bf16, whether dropout is fast
NOTHING: Variant = ("sdpa", False, False)
EVERYTHING: Variant = ("eager", True, True)
COMPARISONS: list[tuple[str, Variant, Variant]] = [  # what is compared, without it, with it
    ("eager attention, others on", ("sdpa", True, True), EVERYTHING),
    ("bf16 hidden states, others on", ("eager", False, True), EVERYTHING),
    ("dropout, others on", ("eager", True, False), EVERYTHING),
    ("eager attention, others off", NOTHING, ("eager", False, False)),
    ("bf16 hidden states, others off", NOTHING, ("sdpa", True, False)),
    ("dropout, others off", NOTHING, ("sdpa", False, True)),
    ("all changes", NOTHING, EVERYTHING),
]


def main() -> None:
    """Measure every variant at every length and print one line per length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a pretrained encoder; default: random, of MiniLM's size")
    parser.add_argument("--repeats", type=int, default=15, help="steps of each variant and length (default 15)")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, metavar="N", help="tokens of an example")
    chosen = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    device.use_threads("auto")
    variants = list(dict.fromkeys(variant for _, *pair in COMPARISONS for variant in pair))
    steps = {variant: training_step(build(chosen.model, variant)) for variant in variants}
    print("Median milliseconds without → with the change, and the speed-up (in brackets: of the fastest steps).\n")
    print(f"| tokens | {' | '.join(name for name, _, _ in COMPARISONS)} |\n|---{'|---' * len(COMPARISONS)}|")
    for length in chosen.lengths:
        times = measure(steps, batch(length), chosen.repeats)
        cells = [cell(times[without], times[with_change]) for _, without, with_change in COMPARISONS]
        print(f"| {length} | {' | '.join(cells)} |", flush=True)


def build(folder: Path | None, variant: Variant) -> PreTrainedModel:
    """A model with five labels and the changes of a variant."""
    config = MINILM if folder is None else AutoConfig.from_pretrained(folder)
    config.num_labels, config.attention_probs_dropout_prob = 5, 0.0  # as params.yaml sets it
    torch.manual_seed(0)
    model: PreTrainedModel
    if folder is None:
        model = AutoModelForSequenceClassification.from_config(config)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder, config=config)
    attention, has_bf16_states, has_fast_dropout = variant
    model.set_attn_implementation(attention)
    if has_bf16_states:
        cpu_bf16.use_bf16_hidden_states(model.base_model.embeddings)
    if has_fast_dropout:
        cpu_bf16.use_fast_dropout(model)
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


def cell(without: list[float], with_change: list[float]) -> str:
    """Both medians and their ratio, and the ratio of the minima."""
    before, after = statistics.median(without), statistics.median(with_change)
    fastest = min(without) / min(with_change)
    return f"{1000 * before:.0f} → {1000 * after:.0f}: {before / after:.2f}× ({fastest:.2f}×)"


if __name__ == "__main__":
    main()
