"""The rows of the papers' tables, as the presets declare them.

A row is a preset with options and a method. From these follow the command that fills it, and the runs that belong to
it: those whose hyperparameters are the same.
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
      recipe: the rows that it is one of.
      model: the row as it is printed.
      config: the run that fills it, but for seed and weights.
      scores: the published ones in percent by column.
    """

    preset: str
    recipe: Recipe
    model: str
    config: RunConfig
    scores: Mapping[str, float]

    @property
    def name(self) -> str:
        """As in "Table 2, SS Conv"."""
        return f"{self.recipe.source.split(' of ')[0]}, {self.model}"

    @property
    def command(self) -> str:
        """The command that fills it."""
        return self.recipe.command(self.config.study, self.preset, [self.config.method])

    @property
    def expected(self) -> Hyperparameters:
        """The hyperparameters of its runs; where several kinds of weights are accepted, a tuple of them.

        Published scores on VOC are of its augmented training split.
        """
        wanted = hyperparameters(self.config, {"train_split": "train_aug"})
        return wanted | ({"init.source": self.recipe.weights} if self.recipe.weights else {})


@functools.cache
def rows() -> tuple[Row, ...]:
    """All rows of all tables with scores, in their order."""
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
