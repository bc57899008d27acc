"""`python -m experiments`: the list of studies."""

from pathlib import Path

from experiments.__main__ import main, programs


def test_every_study_is_listed_in_a_line(capsys, repository):
    assert main([]) == 0
    printed = capsys.readouterr().out
    packages = {path.parent.name for path in Path(repository, "experiments").glob("*/__main__.py")}
    assert packages < set(programs())
    assert all(f"python -m experiments.{name} " in printed for name in packages)
    assert all(programs().values())


def test_a_name_is_taken_for_the_module_that_was_meant(capsys):
    assert main(["segmentaton"]) == 2
    assert "run python -m experiments.segmentation" in capsys.readouterr().err
