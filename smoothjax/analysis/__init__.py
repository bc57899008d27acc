"""Measures of gridding and checkerboards, on arrays from any source."""

# Checkerboards, in maps and in up-sampled constants.
from ._checkerboard import checkerboard_energy as checkerboard_energy
from ._draw_checkerboard import draw_checkerboard as draw_checkerboard
from ._phase_variance import phase_variance as phase_variance
from ._places import PeriodEnergy as PeriodEnergy
from ._places import checkerboard_map as checkerboard_map
from ._places import checkerboard_periods as checkerboard_periods
from ._places import describe_checkerboard as describe_checkerboard
from ._places import first_checkerboard as first_checkerboard
from ._places import power_spectrum as power_spectrum

# isort: split
# Gridding: the inputs that neighbours depend on (Wang & Ji, KDD 2018, Sec. 3.1).
from ._certify import Certificate as Certificate
from ._certify import Run as Run
from ._certify import certify as certify
from ._changes import ByChanges as ByChanges
from ._changes import sharing_by_changes as sharing_by_changes
from ._changes import sharing_of_sets as sharing_of_sets
from ._dependence import dependence as dependence
from ._dependence import receptive_sets as receptive_sets
from ._draw_decomposition import draw_decomposition as draw_decomposition
from ._draw_sets import draw_receptive_sets as draw_receptive_sets
from ._propagate import Convolution as Convolution
from ._sharing import Sharing as Sharing

# isort: split
# Receptive fields (Wang & Ji, KDD 2018, Sec. 4.4).
from ._convolution_fields import convolution_fields as convolution_fields
from ._layer_fields import LayerField as LayerField
from ._layer_fields import layer_fields as layer_fields
from ._layers import Block as Block
from ._layers import Layer as Layer
from ._layers import between as between
from ._layers import layers as layers
from ._receptive_field import contribution_area as contribution_area
from ._receptive_field import effective_receptive_field as effective_receptive_field
from ._receptive_field import from_gradients as from_gradients
from ._receptive_field import phase_imbalance as phase_imbalance
from ._theoretical import theoretical_receptive_field as theoretical_receptive_field

# isort: split
# Learnt smoothing.
from ._smoothing import SmoothingParameter as SmoothingParameter
from ._smoothing import describe_smoothing as describe_smoothing
from ._smoothing import draw_smoothing as draw_smoothing
from ._smoothing import smoothing_parameters as smoothing_parameters
