"""The timing record: what each stage noted of its last run here, as one file."""

from pathlib import Path
from typing import Any

from refit import paths
from refit.storage import files


def collect() -> dict[str, dict[str, Any]]:
    """Every stage's figures, with rows and tokens a second where it counted them.

    A stage that DVC took from its cache did not run here and has no figures.
    """
    return {path.stem: _with_rates(files.read_json(path)) for path in sorted(paths.LOCAL_SPEED.glob("*.json"))}


def write(target: Path) -> None:
    """Put every stage's figures into one file."""
    files.write_json(target, collect())


def _with_rates(figures: dict[str, Any]) -> dict[str, Any]:
    seconds = figures.get("loop_seconds", figures["seconds"])
    counted = [unit for unit in ("rows", "tokens") if unit in figures and seconds]  # an instant has no rate
    rates = {f"{unit}_per_second": round(figures[unit] / seconds, 1) for unit in counted}
    outside = {"outside_loop_seconds": round(figures["seconds"] - seconds, 2)} if "loop_seconds" in figures else {}
    return {**figures, **rates, **outside}
