"""The engine of the studies: it prepares, trains, restores, scores, compares and reports, and knows no study by name.

A study is a configuration (`config.RunConfig`), a command line (`cli.Program`), neither of which imports JAX, and a
`study.Study`, which supplies data, model, loss, optimiser and scores.
"""
