"""Importing transformers in two thirds of the time: without what a fine-tuned encoder has no use for."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Transformers takes these in where it finds them: for object detection, other datasets, other clouds.
LEFT_OUT = ("boto3", "datasets", "scipy", "trio")


@contextmanager
def importing() -> Iterator[None]:
    """Import transformers, and what is built on it, inside of this.

    The garbage collector does not walk what is made meanwhile, nor later.
    """
    left_out = dict.fromkeys(name for name in LEFT_OUT if name not in sys.modules)
    sys.modules.update(left_out)  # type: ignore[arg-type]  # Python's own way to say that a package is not there
    gc.disable()
    try:
        with _models_listed_once():
            yield
    finally:
        gc.freeze()
        gc.enable()
        for name in left_out:
            del sys.modules[name]


@contextmanager
def _models_listed_once() -> Iterator[None]:
    """Keep transformers from reading the source of all its models twice, a third of a second each time.

    It lists what they define for itself, and again for transformers.models; the second list is a part of the first.
    """
    import transformers
    from transformers.utils import import_utils

    define = import_utils.define_import_structure
    models = Path(transformers.__file__).parent / "models"

    def define_once(module_path: str | Path, prefix: str | None = None) -> Any:
        if Path(module_path) != models / "__init__.py" or prefix is not None:
            return define(module_path, prefix)
        return {
            needed: {name.removeprefix("models."): made for name, made in of.items() if name.startswith("models.")}
            for needed, of in define(models, prefix="models").items()  # kept from the first time
        }

    import_utils.define_import_structure = define_once
    try:
        yield
    finally:
        import_utils.define_import_structure = define
