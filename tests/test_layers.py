"""Imports point down only: the layers of the library, read from its source."""

import ast
import sys
from pathlib import Path

import pytest

#: Files beside the layers, which import none of them.
COMMON = ("names", "loss_terms", "_checks", "_meshes", "_programs", "compilation", "progress", "augmentation")
LAYERS = {
    "ops": {"jax", "chex", *COMMON},
    "nn": {"jax", "flax", "ops", *COMMON},
    "models": {"jax", "flax", "numpy", "ops", "nn", *COMMON},
    "weights": {"safetensors", "jax", "flax", "numpy", "ops", "nn", "models", "files", "__version__", *COMMON},
    "data": {"numpy", "PIL", "grain", "tensorflow_datasets", "names", "files", "augmentation"},
    "datasets": {
        *("numpy", "PIL", "tensorflow_datasets", "pycocotools", "scipy", "matplotlib", "tyro"),
        *("data", "files", "progress", "names", "command_line"),
    },
    "training": {
        *("jax", "flax", "numpy", "optax", "orbax", "tensorstore", "grain", "chex", "tqdm", "tensorboardX", "absl"),
        *("files", *COMMON),
    },
    "metrics": {"jax", "chex", "numpy", *COMMON},
    "analysis": {"jax", "flax", "numpy", "matplotlib", "chex", "ops", "nn", *COMMON},
    "diagnose": {"jax", "flax", "numpy", "matplotlib", "tyro", "data", "analysis", "files", "command_line", "_checks"},
    "command_line": {"tyro", "files", "_typeshed"},
}
PACKAGE = Path(__file__).resolve().parents[1] / "smoothjax"


def _imports(path: Path) -> set[str]:
    """Top-level packages that a file imports; for smoothjax's own, the layer."""
    layer = path.relative_to(PACKAGE).parts[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # One dot is the file's own package, each further dot the one around it.
            package = ("smoothjax", *path.relative_to(PACKAGE).parts[:-1])
            base = ".".join(package[: len(package) - node.level + 1])
            names = [f"{base}.{node.module or ''}".rstrip(".") + f".{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            found.add(parts[1] if parts[0] == "smoothjax" and len(parts) > 1 else parts[0])
    return found - {layer}


@pytest.mark.parametrize("layer", sorted(LAYERS))
def test_imports_point_down(layer):
    allowed = LAYERS[layer] | set(sys.stdlib_module_names)
    for path in sorted((PACKAGE / layer).rglob("*.py")):
        unexpected = _imports(path) - allowed
        if path == PACKAGE / "data/__main__.py":
            unexpected -= {"datasets"}  # forwards the command line
        assert not unexpected, f"{path.relative_to(PACKAGE)} imports {sorted(unexpected)}"


def test_every_layer_is_listed():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders <= set(LAYERS)


def test_the_library_does_not_know_its_experiments():
    for path in PACKAGE.rglob("*.py"):
        assert "experiments" not in _imports(path)


def test_the_files_beside_the_layers_import_none_of_them():
    """Command lines import `names` and `loss_terms`, which must not bring JAX; every layer imports `_checks`."""
    for name, allowed in (
        *(("names", set()), ("loss_terms", {"names"}), ("augmentation", set()), ("progress", {"tqdm"})),
        *(("_checks", {"jax", "chex"}), ("_meshes", {"jax"}), ("_programs", {"jax"}), ("compilation", {"jax"})),
    ):
        assert _imports(PACKAGE / f"{name}.py") <= allowed | set(sys.stdlib_module_names)


STUDIES = ("segmentation", "pixel_dcn", "vae", "restoration", "sequence", "erf", "gridding")
#: Which packages of `experiments` a package may import. The command that lists runs lies above all of them.
EXPERIMENTS = {
    "common": set(),
    **{study: {"common"} for study in STUDIES},
    "erf": {"common", "segmentation"},  # looks at its runs
    "timing": {"common", *STUDIES},
    "tables": {"common", *STUDIES},
}


def _imported_experiments(path: Path) -> set[str]:
    """Other packages of `experiments` that a file imports; a name in a string counts as well."""
    root = PACKAGE.parent / "experiments"
    parts, found = path.relative_to(root).parts, set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            base = parts[:-1][: len(parts) - node.level]
            found |= {base[0]} if base else {node.module.split(".")[0]} if node.module else {x.name for x in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("experiments."):
            found.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            # Of a computed name nothing is known.
            name = node.args[0].value if isinstance(node.args[0], ast.Constant) else "experiments"
            found |= {ast.unparse(node)} if str(name).split(".")[0] == "experiments" else set()
    return found - {parts[0]}


@pytest.mark.parametrize("package", sorted(EXPERIMENTS))
def test_studies_and_their_engine_know_nothing_of_tables(package):
    """`segmentation` once imported its recipes from `tables`, which reached back through `importlib`."""
    for path in sorted((PACKAGE.parent / "experiments" / package).rglob("*.py")):
        unexpected = _imported_experiments(path) - EXPERIMENTS[package]
        assert not unexpected, f"{path.name} of experiments/{package} imports {sorted(unexpected)}"


def test_every_package_of_experiments_is_listed():
    assert {path.parent.name for path in (PACKAGE.parent / "experiments").glob("*/__init__.py")} == set(EXPERIMENTS)


def test_no_package_imports_the_private_files_of_another():
    """Shared code is public, or lies in a file beside the packages; private names may change unnoticed."""
    for root in (PACKAGE, PACKAGE.parent / "experiments"):
        for path in sorted(root.rglob("*.py")):
            for name in _imported_names(path, root):
                top, *parts = name.split(".")
                hidden = [part for part in parts if part.startswith("_") and not part.endswith("__")]
                own = root == PACKAGE and parts[:1] in ([path.relative_to(root).parts[0]], hidden)
                assert top != "smoothjax" or own or not hidden, f"{path.relative_to(root.parent)} imports {name}"


def _imported_names(path: Path, root: Path) -> list[str]:
    """Full names that a file imports."""
    package = (root.name, *path.relative_to(root).parts[:-1])
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            found += [f"{module}.{alias.name}" for alias in node.names]
    return found
