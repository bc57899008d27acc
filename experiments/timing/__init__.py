"""Benchmark: the cost of smoothing and pixel deconvolution beside the layers that they replace.

See `python -m experiments.timing --help`. Each ratio is the median over pairs of runs that alternate in one process,
after warm-up, on random data.
"""
