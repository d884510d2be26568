"""From text to token ids: the fastest engine that agrees with the tokenizer."""
