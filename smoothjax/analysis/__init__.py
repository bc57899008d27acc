"""Measures of the artifacts that the networks are about: on arrays, whatever made them."""

from ._checkerboard import checkerboard_energy as checkerboard_energy

# isort: split
# What an output unit sees (Wang & Ji, KDD 2018, Sec. 4.4).
from ._receptive_field import contribution_area as contribution_area
from ._receptive_field import effective_receptive_field as effective_receptive_field
from ._receptive_field import phase_imbalance as phase_imbalance

# isort: split
# What smoothing has learnt.
from ._smoothing import SmoothingParameter as SmoothingParameter
from ._smoothing import describe_smoothing as describe_smoothing
from ._smoothing import draw_smoothing as draw_smoothing
from ._smoothing import smoothing_parameters as smoothing_parameters
