"""Tables of the papers beside ours, and of our own runs: methods against their baseline.

- `studies`: what the studies declare: configurations, presets, and the rows of published tables that these fill.
- `runs`: run folders; `validate`: what their files must hold; `stored`: the small JSON files of results.
- `hyperparameters`: what makes two runs repetitions of each other, or runs of one setting.
- `rows`, `paper`, `timing`: tables of the papers.
- `groups`, `comparison`: methods against their baseline; `statistics`: pairs of runs of one seed.
- `formats`: Markdown, CSV and LaTeX.
"""
