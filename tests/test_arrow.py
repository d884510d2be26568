"""Arrow files: what reading and writing them takes along."""

import subprocess
import sys

from conftest import ROOT


def test_arrays_do_without_pandas_and_leave_it_to_others() -> None:
    """Prevents a quarter of a second in every stage, and a pandas that cannot be imported any more."""
    program = (
        "import sys, numpy, pyarrow\n"
        "from refit.storage import arrow\n"
        "pyarrow.array(numpy.arange(3)).to_numpy()\n"
        "print('pandas' in sys.modules)\n"
        "import pandas\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
