"""The report page of a run, one group of sections a file."""
