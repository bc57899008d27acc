"""Every preset starts training from an archive in its authors' layout, by its two commands."""

import contextlib
import io
import json
import shutil

import pytest

from experiments.pixel_dcn import config as pixel_dcn
from experiments.segmentation import presets as segmentation
from experiments.vae import config as vae
from smoothjax.datasets import __main__ as datasets
from tests.datasets.archives import jpeg, labels, pixels, png, unpack, zipped
from tests.experiments.command_line import call_on_one

_SIZE = (40, 48)
_COUNTS = {"train": 4, "val": 2}


def _image(seed):
    return jpeg(pixels(seed, _SIZE))


def _camvid(root):
    """CamVid as SegNet distributes it."""
    for split, count in _COUNTS.items():
        for i in range(count):
            unpack(root, {f"{split}/{i}.png": png(pixels(i, _SIZE)), f"{split}annot/{i}.png": png(_label(i, 12))})
    return root


def _voc2012(root):
    """The devkit, with augmented masks."""
    top = "VOCdevkit/VOC2012"
    names = {split: [f"2007_{split}{i}" for i in range(count)] for split, count in _COUNTS.items()}
    extra = [f"2008_{i}" for i in range(3)]
    every = [*names["train"], *names["val"], *extra]
    files = {f"{top}/JPEGImages/{name}.jpg": _image(i) for i, name in enumerate(every)}
    for i, name in enumerate(every):
        mask = png(_label(i, 21), palette=True)
        files[f"{top}/SegmentationClassAug/{name}.png"] = mask
        if name not in extra:
            files[f"{top}/SegmentationClass/{name}.png"] = mask
    for split, listed in names.items():
        files[f"{top}/ImageSets/Segmentation/{split}.txt"] = "".join(f"{name}\n" for name in listed).encode()
    return unpack(root, files)


def _cityscapes(root):
    """Two zip archives."""
    photographs, masks = {}, {}
    for split, count in _COUNTS.items():
        for i in range(count):
            name = f"{split}/aachen/aachen_{i:06d}_{split}"
            photographs[f"leftImg8bit/{name}_leftImg8bit.png"] = png(pixels(i, _SIZE))
            masks[f"gtFine/{name}_gtFine_labelIds.png"] = png(_label(i, 34))
    zipped(root / "leftImg8bit_trainvaltest.zip", photographs)
    zipped(root / "gtFine_trainvaltest.zip", masks)
    return root


def _coco2015(root):
    """The layout of 2014."""
    files = {}
    for split, count in _COUNTS.items():
        images = [
            {"id": i, "file_name": f"COCO_{split}2014_{i:012d}.jpg", "height": 40, "width": 48} for i in range(count)
        ]
        box = [[5, 5, 30, 5, 30, 30, 5, 30]]
        objects = [
            {"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "segmentation": box, "area": 625.0}
            for i in range(count)
        ]
        content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "person"}]}
        files[f"annotations/instances_{split}2014.json"] = json.dumps(content).encode()
        files |= {f"{split}2014/{image['file_name']}": _image(image["id"]) for image in images}
    return unpack(root, files)


def _celeba(root):
    """The aligned faces packed, with their partition."""
    zipped(root / "img_align_celeba.zip", {f"img_align_celeba/{i}.jpg": jpeg(pixels(i, (218, 178))) for i in range(7)})
    return unpack(
        root, {"list_eval_partition.txt": b"".join(b"%d.jpg %d\n" % (i, (i > 3) + (i > 5)) for i in range(7))}
    )


def _label(seed, count):
    return labels(seed, list(range(count)), _SIZE)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Prepares a data set from its archive, once; returns the folder that holds it as data/NAME."""
    folder = tmp_path_factory.mktemp("prepared")

    def prepare(archive):
        name = archive.__name__.removeprefix("_")
        if not (folder / "data" / name).exists():
            source = archive(folder / "source" / name)
            with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
                assert datasets.main(["prepare", name, "--source", str(source)]) == 0
        return name, folder

    return prepare


_SHORT = ["--steps", "2", "--batch-size", "2", "--eval-batch-size", "2", "--log-every", "1"]
_SHORT += ["--checkpoint-every", "1"]
# Too small for published weights, whose statistics the recipes keep.
_TRAINED = ["--model.batch-norm", "trained"]
_DEEPLAB = ["--model.encoder", "resnet10", "--model.width", "4", "--model.head-rates", "1", "2"]
_CASES = [
    ("segmentation", "camvid", _camvid, [*_DEEPLAB, "--data.crop-size", "33", "33"]),
    ("segmentation", "voc2012", _voc2012, [*_DEEPLAB, *_TRAINED, "--data.crop-size", "33", "33"]),
    ("segmentation", "voc2012-coco", _voc2012, [*_DEEPLAB, *_TRAINED, "--data.crop-size", "33", "33"]),
    ("segmentation", "cityscapes", _cityscapes, [*_DEEPLAB, *_TRAINED, "--data.crop-size", "33", "33"]),
    ("pixel_dcn", "camvid", _camvid, ["--model.width", "4", "--model.depth", "2", "--data.size", "32", "32"]),
    ("pixel_dcn", "voc2012-unet", _voc2012, ["--model.width", "4", "--model.depth", "2", "--data.size", "32", "32"]),
    ("pixel_dcn", "coco-unet", _coco2015, ["--model.width", "4", "--model.depth", "2", "--data.size", "32", "32"]),
    ("pixel_dcn", "voc2012-deeplab", _voc2012, [*_DEEPLAB, *_TRAINED, "--data.size", "32", "32"]),
    ("vae", "celeba", _celeba, ["--model.width", "2", "--model.latent-features", "4"]),
]


def test_every_preset_of_an_archive_is_here():
    for study, presets in (("segmentation", segmentation), ("pixel_dcn", pixel_dcn), ("vae", vae)):
        mine = {preset for other, preset, _, _ in _CASES if other == study}
        # Others are as these, but for weights that have to be installed, or a folder of the user.
        random = {name for name, preset in presets.PRESETS.items() if preset.config.init.source is None}
        assert mine == random - {"wires", "demo", "folder", "thin"}


#: Read by the same pipeline as another preset, which resumes.
_NOT_RESUMED = {"voc2012-coco", "voc2012-unet", "voc2012-deeplab"}


@pytest.mark.slow
@pytest.mark.parametrize(("study", "preset", "archive", "options"), _CASES)
def test_a_preset_trains_from_its_archive_and_resumes(study, preset, archive, options, prepared, tmp_path):
    name, folder = prepared(archive)
    out = tmp_path / "run"
    arguments = ["train", preset, *options, *_SHORT, "--run", out]
    call_on_one(*arguments, folder=folder, study=study)
    result = json.loads((out / "result.json").read_text())
    assert result["steps"] == 2
    if preset not in _NOT_RESUMED:
        # As if it had been stopped after the first step.
        shutil.rmtree(out / "checkpoints/2")
        (out / "result.json").unlink()
        printed, _ = call_on_one(*arguments, folder=folder, study=study)
        assert f"resuming {out} from step 1 of 2" in printed
        assert json.loads((out / "result.json").read_text())["val"] == result["val"]
    # Prepared, it needs no --data.root, and --data.root may name it wherever it lies.
    printed, _ = call_on_one("evaluate", out, "--data-root", f"data/{name}", folder=folder, study=study)
    assert "2 images of val" in printed
