"""Put a run on one page, metrics/report.html; what depends on this machine and on git goes beside it."""

from refit import paths
from refit.stage import run


def report() -> None:
    """Write the page, its script report.js, and every stage's timings in timings.json."""
    from refit import params, timings
    from refit.report import build, provenance
    from refit.storage import manifest

    chosen = params.load(params.Report)
    manifest.read(paths.METRICS_MANIFEST.parent)
    identity = build.write(chosen, paths.REPORT)
    provenance.write(paths.REPORT_SCRIPT, chosen.model_dump(), identity)
    timings.write(paths.SPEED)


if __name__ == "__main__":
    run("report", report)
