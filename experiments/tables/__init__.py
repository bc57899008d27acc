"""Tables of the papers beside ours, and of our own runs: methods against their baseline.

- `cells`: which recipe fills which row of which table, as data; `recipes` tells it in the help of a preset.
- `runs`: run folders, and the small JSON files of results; `checked`: what is left out of them; `neutral`: without
  paths of a machine; `facts`: what makes two runs the same.
- `paper`, `timing`: tables of the papers; `own`: methods against their baseline, with `statistics` over seeds.
- `formats`: Markdown, CSV and LaTeX.
"""
