"""The baseline: a linear model on TF-IDF features, trained in seconds on the same examples as the encoder."""
