"""Studies, run from the command line: one module each."""
