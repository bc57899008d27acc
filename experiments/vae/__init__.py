"""Study 3: pixel deconvolutional layers against transposed convolutions, in a variational auto-encoder of faces.

`python -m experiments.vae` compares them on drawn images in a few minutes; see `--help`.

References:
  Gao et al., Pixel Deconvolutional Networks, 2017, Sec. 3.2 and Fig. 9.
"""
