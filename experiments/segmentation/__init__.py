"""Study 1: smoothed dilated convolutions against the baseline and multigrid, in semantic segmentation.

`python -m experiments.segmentation` compares them on drawn images in a few minutes; see `--help`.

References:
  Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Sec. 4.
"""
