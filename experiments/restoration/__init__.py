"""Study 4: smoothed dilated convolutions in a network that restores images, GCANet.

`python -m experiments.restoration` compares them on drawn images in haze in a few minutes; `predict` applies published
weights or your own run to photographs, `filters` draws the learnt smoothing; see `--help`.

References:
  Chen et al., Gated Context Aggregation Network for Image Dehazing and Deraining, WACV 2019.
"""
