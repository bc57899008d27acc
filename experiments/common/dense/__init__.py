"""What studies of semantic segmentation share: images, scores, figures, `evaluate` and `predict`."""
