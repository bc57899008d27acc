"""The images given to a command: files, folders and patterns, and distinct output names."""

from pathlib import Path

import pytest

from experiments.common.images import find_images, output_names


def test_files_folders_and_patterns(tmp_path):
    for name in ("a/2.PNG", "a/1.jpg", "a/._1.jpg", "a/notes.txt", "a/deeper/3.png", "b[1].png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    images = [tmp_path / "a/1.jpg", tmp_path / "a/2.PNG"]
    assert find_images([tmp_path / "a"]) == images
    assert find_images([tmp_path / "a/*.*G", tmp_path / "a/?.jpg"]) == [images[1], images[0]]
    # A name that looks like a pattern is that of a file where there is one.
    assert find_images([tmp_path / "b[1].png"]) == [tmp_path / "b[1].png"]
    (tmp_path / "a/deeper/3.png").unlink()
    with pytest.raises(FileNotFoundError, match="deeper holds no images"):
        find_images([images[0], tmp_path / "a/deeper"])
    with pytest.raises(FileNotFoundError, match=r"no such image: .*x.png, .*y.png"):
        find_images([tmp_path / "x.png", images[0], tmp_path / "y.png"])


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/1.png", "b/2.png"], ["1", "2"]),
        (["a/1.png", "b/1.png", "b/2.png"], ["a_1", "b_1", "2"]),
        (["a/1.png", "a/1.jpg"], ["1_png", "1_jpg"]),
        (["a/1.png", "a/1.jpg", "b/1.png"], ["a_1_png", "a_1_jpg", "b_1_png"]),
    ],
)
def test_results_of_images_of_one_name_stay_apart(paths, names):
    assert output_names([Path(path) for path in paths]) == names


def test_many_images_are_named_at_once():
    """A folder may hold tens of thousands; comparing each name with all others would take minutes."""
    assert len(output_names([Path(f"a/{index}.png") for index in range(30_000)])) == 30_000
    assert len(output_names([Path(f"{index}/a.png") for index in range(10_000)])) == 10_000


@pytest.mark.parametrize(
    "paths", [["a/1.png", "a/1.png"], ["a/1.png", "c/../a/1.png"], ["a/1.png", "b/1.png", "a_1.png"]]
)
def test_results_that_would_replace_each_other_are_refused(paths):
    with pytest.raises(ValueError, match="name each image once"):
        output_names([Path(path) for path in paths])
