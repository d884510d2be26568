"""The fingerprint of a training run: one hash of everything that can change its weights.

A run resumes from a checkpoint only if this is the same, so that new params, data, code, versions or threads never
continue old weights; and going back to the old ones finds the old checkpoints again.
"""

import hashlib
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml

from refit import paths
from refit.model import device
from refit.params import Train
from refit.storage import files, manifest

LIBRARIES = ("torch", "transformers", "accelerate", "tokenizers", "safetensors", "numpy")
NUMERIC_PREFIXES = ("OMP_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_", "KMP_", "CUBLAS_", "NVIDIA_TF32")
IRRELEVANT = ("report_to",)  # does not reach the weights


def describe(params: Train, number: device.Format, threads: int) -> dict[str, Any]:
    """Everything that can change the weights, by name."""
    chosen = {name: value for name, value in params.model_dump().items() if name not in IRRELEVANT}
    sampled = manifest.read(paths.SAMPLED)
    return {
        "params": {name: value.hex() if isinstance(value, float) else value for name, value in chosen.items()},
        "number format": number,
        "threads": threads,
        "data": {name: entry["sha256"] for name, entry in sampled.items() if not name.startswith("test")},
        "task": files.sha256(paths.TASK),
        "model": {path.name: files.sha256(path) for path in sorted(paths.BASE_MODEL.iterdir())},
        "code": _sources(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        "machine": {
            "device": _device_name(),
            "instruction set": torch.backends.cpu.get_cpu_capability(),
            "processes": os.environ.get("WORLD_SIZE", "1"),
        },
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(NUMERIC_PREFIXES)},
    }


def digest(description: dict[str, Any]) -> str:
    """The SHA-256 of a description, in hexadecimal."""
    return hashlib.sha256(json.dumps(description, sort_keys=True, allow_nan=False).encode()).hexdigest()


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """The names of the values that differ between two descriptions, such as `params.lr`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [
            path for key in keys for path in differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if old == new else [name]


def _sources() -> dict[str, str]:
    """The hashes of the code that dvc.yaml lists as deps of train."""
    pipeline = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))
    deps = [Path(dep) for dep in pipeline["stages"]["train"]["deps"] if dep.startswith(("refit/", "stages/"))]
    found = [file for dep in deps for file in ([dep] if dep.is_file() else dep.rglob("*.py"))]
    return {file.as_posix(): files.sha256(file) for file in sorted(found)}


def _device_name() -> str:
    return torch.cuda.get_device_name() if device.device().type == "cuda" else device.device().type
