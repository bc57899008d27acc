"""Effective receptive fields of trained networks: gridding, and its end by smoothing.

`python -m experiments.erf` draws Figures 8 and 9 for the baseline, group interaction and SS convolution; see `--help`.

References:
  Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Sec. 4.4.
"""
