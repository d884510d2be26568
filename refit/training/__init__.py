"""Fine-tuning by the Hugging Face Trainer, and going on after a kill to the same weights."""
