"""The rows of the papers' tables, as the presets declare them.

A row is a preset with options and a method. These determine the command that fills the row, and the runs that belong to
it: the runs with the same hyperparameters.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from ..common.config import RunConfig, with_options
from ..common.recipe import Recipe
from .hyperparameters import Hyperparameters, hyperparameters
from .studies import PRESETS


@dataclass(frozen=True)
class Row:
    """A row of a published table.

    Attributes:
      preset: name of the preset that declares it.
      recipe: the declaration of this row and its neighbours.
      model: the printed name of the row.
      config: the configuration of a run that fills it, except seed and weights.
      scores: published scores in percent, by column.
    """

    preset: str
    recipe: Recipe
    model: str
    config: RunConfig
    scores: Mapping[str, float]

    @property
    def name(self) -> str:
        """Its table and model, as in "Table 2, SS Conv"."""
        return f"{self.recipe.source.split(' of ')[0]}, {self.model}"

    @property
    def command(self) -> str:
        """The command that fills the row."""
        return self.recipe.command(self.config.study, self.preset, [self.config.method])

    @property
    def expected(self) -> Hyperparameters:
        """The hyperparameters of its runs, with a tuple for several accepted kinds of weights.

        Published scores on VOC are for its augmented training split.
        """
        wanted = hyperparameters(self.config, {"train_split": "train_aug"})
        return wanted | ({"init.source": self.recipe.weights} if self.recipe.weights else {})


@functools.cache
def rows() -> tuple[Row, ...]:
    """All rows of all tables with scores, ordered by table."""
    found = [
        _row(name, preset.config, recipe, model, scores)
        for presets in PRESETS
        for name, preset in presets.items()
        for recipe in preset.recipes
        for model, scores in recipe.scores().items()
    ]
    return tuple(sorted(found, key=lambda row: row.recipe.table))


def _row(preset: str, config: RunConfig, recipe: Recipe, model: str, scores: Mapping[str, float]) -> Row:
    filled = with_options(config, recipe.options).with_method(recipe.methods[model])
    return Row(preset, recipe, model if recipe.part is None else f"{', '.join(recipe.part)} + {model}", filled, scores)
