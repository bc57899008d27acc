"""Runs that ended before their last step: they count as finished, wherever runs are shown."""

from experiments import runs
from experiments.common.config import with_options
from experiments.segmentation.presets import PRESETS
from experiments.tables.runs import read_run
from experiments.tables.summary import summary
from tests.experiments.made_runs import evaluate, write

CAMVID = with_options(PRESETS["camvid"].config, {"steps": 20000})


def test_the_list_of_runs_says_so(tmp_path, capsys):
    write(tmp_path / "early", CAMVID, 0.5, steps=7000)
    write(tmp_path / "whole", CAMVID, 0.5, steps=20000)
    assert runs.main([str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "7,000 of 20,000, ended early" in printed
    assert "20,000, finished" in printed


def test_tables_take_its_last_step(tmp_path):
    """Scores of another step are left out; the configured last step was once taken for the last one."""
    write(tmp_path / "run", CAMVID, 0.5, steps=7000)
    evaluate(tmp_path / "run", "test", 0.4, {"sky": 0.4}, step=7000)
    evaluate(tmp_path / "run", "train", 0.6, {"sky": 0.6})
    remarks: list[str] = []
    found = read_run(tmp_path / "run", remarks)
    assert found is not None
    assert list(found.evaluations) == ["test"]
    assert [remark.partition(" ")[2] for remark in remarks[:1]] == ["ended early, after 7,000 of 20,000 steps"]
    assert "it scores step 20000, the run has 7000; evaluate again" in remarks[1]
    assert len(remarks) == 2
    assert summary([found])[1] == "7,000"
