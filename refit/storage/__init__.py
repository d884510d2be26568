"""Files between stages: replaced in one step, recorded in a manifest, token ids in Arrow."""
