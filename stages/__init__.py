"""The pipeline's stages, one verb a file: each reads its params, calls refit and writes its outs."""
