"""Shared code of the studies of semantic segmentation: images, scores, figures, `evaluate` and `predict`."""
