"""A study of stored data: splits of files, known by what they hold and not by where they lie."""

from abc import abstractmethod
from pathlib import Path

from smoothjax import data

from .comparison import C, Result
from .identity import describe_split, is_other_data
from .learner import S, T
from .network import M
from .study import Origin, Study


class StoredStudy(Study[C, T, S, M]):
    """A study that finds its data in files, unless the configuration draws them."""

    @abstractmethod
    def data_name(self, config: C) -> str | None:
        """What messages call the data; None where they are drawn."""

    @abstractmethod
    def place(self, config: C) -> Path | None:
        """Where the data lie."""

    @abstractmethod
    def described(self, source: S) -> data.Named:
        """The source that identifies a split: see `identity.describe_split`."""

    def describe_data(self, config: C) -> Result:
        """See `Study`: the splits that a run trains and is scored on."""
        name = self.data_name(config)
        if name is None:
            return {}
        names = dict.fromkeys((self.training_split(config), "val"))
        splits = {split: describe_split(self.described(self.open_split(config, split))) for split in names}
        return {"name": f"{name} in {self.place(config)}", "splits": splits}

    def origin(self, config: C, folder: Path, split: str, source: S) -> Origin:
        """See `Study`: a split is the run's own where it holds the same, wherever it lies."""
        found = None if self.data_name(config) is None else describe_split(self.described(source))
        other = is_other_data(folder, split, lambda name: self.described(self.open_split(config, name)), found)
        return Origin({self.unit: len(source), "data": found}, self.place(config) if other else None)
