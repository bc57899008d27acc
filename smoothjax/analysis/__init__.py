"""Measures of the artifacts that the networks are about: on arrays, whatever made them."""

from ._checkerboard import checkerboard_energy as checkerboard_energy
