"""Benchmark: what smoothing and pixel deconvolution cost beside the layers that they replace.

`python -m experiments.timing --help`; every figure is a ratio of medians of interleaved runs in one process, after
warm-up, on random data.
"""
