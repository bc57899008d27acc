"""Study 4: smoothed dilated convolutions in networks that restore images: GCANet, and a dilated denoiser.

`python -m experiments.restoration` compares them on drawn images in haze in a few minutes; `predict` applies published
weights or your own run to photographs, `filters` draws the learnt smoothing; see `--help`.

References:
  Chen et al., Gated Context Aggregation Network for Image Dehazing and Deraining, WACV 2019.
  Zhang et al., Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising, IEEE Transactions on
  Image Processing, 2017.
"""
