"""The library behind stages and commands. A Python without refit's packages gets one line that says so."""

import importlib.util
import sys

if importlib.util.find_spec("nanotoken") is None:  # which no other project has installed by chance
    message = "refit needs its packages, and {} does not have them; activate the environment: source .venv/bin/activate"
    print(message.format(sys.executable) + " (make repro creates it)", file=sys.stderr)
    sys.exit(64)
