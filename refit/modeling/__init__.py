"""The network and what it is fed: classification head, batches, device, and kernels that suit it."""
