"""Importing transformers: what is left out is there again afterwards, and nothing that is there is lost."""

import gc
import sys

from conftest import ROOT, run

from refit import fast_import


def test_importing_leaves_the_collector_on_also_after_an_error() -> None:
    """Prevents a long training from keeping every cycle of objects."""
    try:
        with fast_import.importing():
            assert not gc.isenabled()
            raise ImportError
    except ImportError:
        assert gc.isenabled()


def test_what_transformers_can_do_without_is_hidden_from_it_and_from_nobody_else() -> None:
    """Prevents imports that no stage uses, and a scipy that is gone for good."""
    program = (
        "from importlib.util import find_spec\n"
        "from refit import fast_import\n"
        "with fast_import.importing():\n"
        "    print([find_spec(name) for name in fast_import.LEFT_OUT])\n"
        "import scipy, datasets\n"
        "with fast_import.importing():\n"
        "    import scipy.stats\n"
        "print('there')\n"
    )
    printed = run(sys.executable, "-c", program, cwd=ROOT).stdout
    assert printed.splitlines() == ["[None, None, None, None]", "there"]


def test_transformers_has_the_same_models_when_it_lists_them_once() -> None:
    """Prevents a model that cannot be loaded, after a change in how transformers lists them."""
    program = (
        "from refit import fast_import\n"
        "with fast_import.importing():\n"
        "    from transformers.utils import import_utils\n"
        "    import transformers.models\n"
        "    file = transformers.models.__file__\n"
        "    once = import_utils.define_import_structure(file)\n"
        "whole = import_utils.define_import_structure(file)\n"
        "print({needed: of for needed, of in once.items() if of} == whole, len(whole[frozenset()]) > 100)\n"
    )
    assert run(sys.executable, "-c", program, cwd=ROOT).stdout == "True True\n"
