"""Tables of the papers beside ours, and of our own runs: methods against their baseline.

- `studies`: the configurations and presets that the studies declare.
- `find`, `runs`: finished runs in folders; `validate`: checks of their files; `stored`: small JSON files of results.
- `hyperparameters`: decides which runs repeat each other, and which belong to one setting.
- `rows`, `paper`, `timing`: tables of the papers.
- `groups`, `comparison`, `forest`: methods against their baseline, as tables and as a figure.
- `formats`: Markdown, CSV and LaTeX.
"""
