"""Measures of a segmentation: one confusion matrix over a split, and everything that follows from it.

Counting runs on the device, under `jax.jit`; adding up the matrices of a split and reading measures off the sum is
the host's part, in 64-bit integers:

    total = np.zeros((num_classes, num_classes), np.int64)
    for batch in batches:
        total += np.asarray(confusion_matrix(batch["label"], predict(batch["image"]), num_classes=num_classes))
    print(mean_iou(total), pixel_accuracy(total))

Near contours, where gridding hurts, `boundary_confusion_matrix` and `trimap_confusion_matrix` count in its place.
`calibration_counts` adds up in the same way what `expected_calibration_error` needs.
`isolated_pixels` counts what gridding leaves inside of objects.
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
