"""Hash the files that params.yaml names, your own rows and a local model, so that DVC notices when they change."""

from refit.stage import run


def hash_sources() -> None:
    """Write data/source.json and models/source.json: the name and SHA-256 of each file."""
    from refit import params
    from refit.download import source_hashes

    source_hashes.write(params.load(params.HashSources))


if __name__ == "__main__":
    run("hash_sources", hash_sources, record=False)
