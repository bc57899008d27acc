"""Study 6: when degridding helps, and by how much: many tiny networks under known conditions.

`python -m experiments.gridding` compares two stems before the dilated layers in under three minutes; see `--help`.

References:
  Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018; Yu et al., Dilated Residual
  Networks, 2017; Wang et al., Understanding Convolution for Semantic Segmentation, 2017 (HDC).
"""
