"""Study 5: smoothed dilated convolutions over time, the 1-D case that the paper leaves to future work.

`python -m experiments.sequence` compares them on a memory task in a few minutes; see `--help`.

References:
  Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Sec. 5.
"""
