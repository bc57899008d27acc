"""The documentation: pages written by hand, and programs that write the others. `python -m docs` assembles all."""
