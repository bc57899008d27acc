"""What all studies share: one command grammar, one run folder, one way to train, compare and report.

A study is a configuration (`config.RunConfig`), a `cli.Program` of presets and commands, which imports no JAX, and a
`study.Study`, which says how a configuration becomes a network, a loss and data. The rest is here.
"""
