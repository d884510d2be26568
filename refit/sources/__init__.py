"""Where data and models come from: the hub, a package of the package index, the user's own files."""
