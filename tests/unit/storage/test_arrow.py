"""Arrow files: what reading and writing them takes along."""

import sys

from conftest import ROOT, run


def test_arrays_do_without_pandas_and_leave_it_to_others() -> None:
    """Prevents a quarter of a second in every stage, and a pandas that cannot be imported any more."""
    program = (
        "import sys, numpy, pyarrow\n"
        "from refit.storage import arrow\n"
        "pyarrow.array(numpy.arange(3)).to_numpy()\n"
        "print('pandas' in sys.modules)\n"
        "import pandas\n"
    )
    assert run(sys.executable, "-c", program, cwd=ROOT).stdout == "False\n"
