"""Put a run on one page, metrics/report.html; what depends on this machine and on git goes beside it."""

from refit import paths
from refit.runtime import run


def report() -> None:
    """Write the page, its script report.js, and every stage's timings in speed.json."""
    from refit import params, speed
    from refit.report import build, here
    from refit.storage import manifest

    chosen = params.load(params.Report)
    manifest.read(paths.METRICS_MANIFEST.parent)
    identity = build.write(chosen, paths.REPORT)
    here.write(paths.REPORT_SCRIPT, chosen.model_dump(), identity)
    speed.write(paths.SPEED)


if __name__ == "__main__":
    run("report", report)
