"""Threads, device and number format of this machine."""

import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import psutil
import torch

from refit.errors import ParamsError
from refit.storage import files

Format = Literal["fp32", "bf16", "fp16"]
# transformers' DeBERTa (v1) masks with fp32's lowest number, which overflows in 16 bits. Of 41 model types for text,
# tried small and on a CPU with version 5.23, no other fails in bf16.
FP32_ONLY = ("deberta",)


def say(message: str) -> None:
    """Print a line on stderr, in one process only if several train together."""
    if os.environ.get("RANK", "0") == "0":
        print(message, file=sys.stderr, flush=True)


def use_threads(threads: int | Literal["auto"]) -> int:
    """Set the number of torch's threads and return it; auto is one per physical core available to this process.

    Weights are bit-identical only with the same number of threads.
    """
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    together = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes of this run that share the cores
    count = max(1, min(cores, allowed) // together) if threads == "auto" else threads
    torch.set_num_threads(count)
    return count


def device() -> torch.device:
    """The device that the Trainer chooses: a CUDA GPU, an Apple GPU, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def number_format(precision: Literal["auto", "fp32", "bf16", "fp16"], model: Path) -> Format:
    """The number format that `precision` means on this machine, for the model in a folder.

    auto is bf16 where the hardware supports it (fp16 on older GPUs) and fp32 elsewhere. fp16 needs a GPU: without one
    it falls back to auto with a warning. Raises ParamsError for a format that the model fails in.
    """
    model_type = files.read_json(model / "config.json").get("model_type")
    if model_type in FP32_ONLY:
        if precision in ("bf16", "fp16"):
            raise ParamsError(
                f"params.yaml precision: got {precision}, but a {model_type} model works only in fp32; need auto"
            )
        return "fp32"
    kind, fastest = device().type, _fastest_format()
    if precision == "fp16" and kind != "cuda":
        say(f"precision: fp16 needs a GPU, and this machine has none; computing in {fastest}")
        return fastest
    if precision == "bf16" and kind == "cpu" and fastest == "fp32":
        say("precision: this CPU has no bf16 instructions: bf16 is 5 to 8 times slower than fp32; set precision: auto")
    return fastest if precision == "auto" else precision


def _fastest_format() -> Format:
    kind = device().type
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    capabilities = torch.cpu.get_capabilities() if kind == "cpu" else {}
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"


def autocast(number: Format) -> AbstractContextManager[object]:
    """A context in which matrix products run in the given format."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(number, torch.float32)
    return torch.autocast(device().type, dtype=dtype, enabled=number != "fp32")
