"""Builders: how each data set is read from the archives that its authors distribute.

A builder is a frozen dataclass whose fields are the options of the preparation, see `smoothjax.datasets.prepare`.
`BUILDERS` holds all of them by the name of the data set.
"""

from ._camvid import Camvid as Camvid
from ._celeba import Celeba as Celeba
from ._cityscapes import Cityscapes as Cityscapes
from ._coco2015 import Coco2015 as Coco2015
from ._download import Download as Download
from ._download import fetch as fetch
from ._file import File as File
from ._file import join as join
from ._folder import Folder as Folder
from ._oxford_iiit_pet import OxfordIIITPet as OxfordIIITPet
from ._plan import Builder as Builder
from ._plan import Example as Example
from ._plan import Expected as Expected
from ._plan import Mask as Mask
from ._plan import Plan as Plan
from ._plan import layout as layout
from ._plan import wrong_folder as wrong_folder
from ._tree import SourceTree as SourceTree
from ._voc2012 import Voc2012 as Voc2012

BUILDERS: dict[str, type[Builder]] = {
    "voc2012": Voc2012,
    "cityscapes": Cityscapes,
    "coco2015": Coco2015,
    "celeba": Celeba,
    "camvid": Camvid,
    "oxford_iiit_pet": OxfordIIITPet,
    "folder": Folder,
}
"""The builder of each data set."""
