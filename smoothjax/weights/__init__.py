"""Published parameters, turned into parameters of our operations and networks."""

from ._official import group_interaction_weight_from_official as group_interaction_weight_from_official
