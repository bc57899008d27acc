"""The documentation: pages written by hand, and what writes the others. `python -m docs` assembles all of them."""
