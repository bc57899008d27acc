"""Metrics of segmentation: a confusion matrix over a split, and measures derived from it.

Counting runs on the device, under `jax.jit`. The host adds up the matrices of a split in 64-bit integers and computes
measures from the sum:

    total = np.zeros((num_classes, num_classes), np.int64)
    for batch in batches:
        total += np.asarray(confusion_matrix(batch["label"], predict(batch["image"]), num_classes=num_classes))
    print(mean_iou(total), pixel_accuracy(total))

`boundary_confusion_matrix` and `trimap_confusion_matrix` count only near contours, where gridding hurts.
`calibration_counts` adds up in the same way, for `expected_calibration_error`. `isolated_pixels` counts the traces of
gridding inside objects.
"""

from ._boundary import boundary_confusion_matrix as boundary_confusion_matrix
from ._boundary import trimap_confusion_matrix as trimap_confusion_matrix
from ._calibration import Calibration as Calibration
from ._calibration import calibration_counts as calibration_counts
from ._calibration import expected_calibration_error as expected_calibration_error
from ._confusion import confusion_matrix as confusion_matrix
from ._isolated import isolated_pixels as isolated_pixels
from ._scores import boundary_iou_per_class as boundary_iou_per_class
from ._scores import dice_per_class as dice_per_class
from ._scores import iou_per_class as iou_per_class
from ._scores import mean_boundary_iou as mean_boundary_iou
from ._scores import mean_class_accuracy as mean_class_accuracy
from ._scores import mean_dice as mean_dice
from ._scores import mean_iou as mean_iou
from ._scores import pixel_accuracy as pixel_accuracy
