"""Gridding and checkerboards from the command line: `python -m smoothjax.diagnose`."""
