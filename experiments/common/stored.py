"""A study of stored data: splits of files, identified by their content, not by their place."""

from abc import abstractmethod
from pathlib import Path

from smoothjax import data

from .comparison import C, Result
from .identity import describe_split, is_other_data
from .learner import S, T
from .network import M
from .study import Origin, Study


class StoredStudy(Study[C, T, S, M]):
    """A study that reads its data from files, unless the configuration draws them."""

    @abstractmethod
    def data_name(self, config: C) -> str | None:
        """The name of the data in messages; None if they are drawn."""

    @abstractmethod
    def place(self, config: C) -> Path | None:
        """The place of the data."""

    @abstractmethod
    def described(self, source: S) -> data.Named:
        """The source that identifies a split: see `identity.describe_split`."""

    def describe_data(self, config: C) -> Result:
        """See `Study`: the splits for training and scoring."""
        name = self.data_name(config)
        if name is None:
            return {}
        names = dict.fromkeys((self.training_split(config), "val"))
        splits = {split: describe_split(self.described(self.open_split(config, split))) for split in names}
        return {"name": f"{name} in {self.place(config)}", "splits": splits}

    def origin(self, config: C, folder: Path, split: str, source: S) -> Origin:
        """See `Study`: a split with the same content is the run's own, at any place."""
        found = None if self.data_name(config) is None else describe_split(self.described(source))
        other = is_other_data(folder, split, lambda name: self.described(self.open_split(config, name)), found)
        return Origin({self.unit: len(source), "data": found}, self.place(config) if other else None)
