"""Study 2: pixel deconvolutional layers against transposed convolutions, in semantic segmentation.

`python -m experiments.pixel_dcn` compares them on drawn images in a few minutes; see `--help`.

References:
  Gao et al., Pixel Deconvolutional Networks, 2017, Sec. 3.1.
"""
