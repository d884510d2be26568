"""The fingerprint of a training run: one hash of everything that can change its weights.

A run resumes from a checkpoint only if the fingerprint is the same.
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
IRRELEVANT = ("report_to",)  # params that do not reach the weights
# Code that shows a run or describes its result: after an edit, DVC runs the stage and the finished weights are reused.
IRRELEVANT_CODE = {f"refit/training/{name}.py" for name in ("callbacks", "curves", "trackers")}


def describe(params: Train, number: device.Format, threads: int) -> dict[str, Any]:
    """Everything that can change the weights, by name."""
    chosen = {name: value for name, value in params.model_dump().items() if name not in IRRELEVANT}
    sampled = manifest.read(paths.SAMPLED)
    is_cuda = device.device().type == "cuda"
    return {
        "params": {name: value.hex() if isinstance(value, float) else value for name, value in chosen.items()},
        "number format": number,
        "threads": threads,
        "data": {name: entry["sha256"] for name, entry in sampled.items() if not name.startswith("test")},
        "task": files.sha256(paths.TASK),
        "model": {path.name: files.sha256(path) for path in sorted(paths.BASE_MODEL.iterdir())},
        "code": _code(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        "machine": {
            "device": torch.cuda.get_device_name() if is_cuda else device.device().type,
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


def _code() -> dict[str, str]:
    """The hash of every code file that dvc.yaml lists as a dependency of train."""
    deps = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]["train"]["deps"]
    code = [Path(dep) for dep in deps if dep.startswith(("refit/", "stages/"))]
    found = {file.as_posix(): file for dep in code for file in ([dep] if dep.is_file() else dep.rglob("*.py"))}
    return {name: files.sha256(file) for name, file in sorted(found.items()) if name not in IRRELEVANT_CODE}
