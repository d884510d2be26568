"""What the download stages do: a task's rows and a pretrained model, from the hub, PyPI or local files."""
