"""Study 4: smoothed dilated convolutions in a network that restores images, GCANet.

`python -m experiments.restoration` compares them on drawn images in haze in a few minutes; `predict` applies published
weights or a run of one's own to photographs, `filters` draws what the smoothing has learnt; see `--help`.

References:
  Chen et al., Gated Context Aggregation Network for Image Dehazing and Deraining, WACV 2019.
"""
