"""Classes of well-known data sets."""

from ._classes import Classes, default_colors

CAMVID = Classes(
    names=("sky", "building", "pole", "road", "sidewalk", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"),
    colors=(
        *((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128)),
        *((60, 40, 222), (128, 128, 0), (192, 128, 128), (64, 64, 128)),
        *((64, 0, 128), (64, 64, 0), (0, 128, 192)),
    ),
)
"""CamVid in the eleven classes of SegNet; every other class of the original is ignored."""

VOC2012 = Classes(
    names=(
        "background",
        *("aeroplane", "bicycle", "bird", "boat", "bottle"),
        *("bus", "car", "cat", "chair", "cow"),
        *("diningtable", "dog", "horse", "motorbike", "person"),
        *("pottedplant", "sheep", "sofa", "train", "tvmonitor"),
    ),
    colors=default_colors(21),
)
"""PASCAL VOC 2012: background and twenty classes, in the colours of the devkit."""

COCO = Classes(
    names=(
        "background",
        *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
        *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
        *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
        *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
        *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
        *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
        *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard"),
        *("cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase"),
        *("scissors", "teddy bear", "hair drier", "toothbrush"),
    ),
    colors=default_colors(81),
)
"""MS-COCO: background and the eighty things of the detection challenge, in its order, with labels 1 .. 80 in a row."""

CITYSCAPES = Classes(
    names=(
        *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign"),
        *("vegetation", "terrain", "sky", "person", "rider"),
        *("car", "truck", "bus", "train", "motorcycle", "bicycle"),
    ),
    colors=(
        *((128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156)),
        *((190, 153, 153), (153, 153, 153), (250, 170, 30), (220, 220, 0)),
        *((107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0)),
        *((0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32)),
    ),
)
"""Cityscapes in its nineteen training classes ("train ids")."""

SHAPES = Classes(
    names=("background", "disk", "square", "triangle", "ring", "cross", "star", "wire"),
    colors=(
        *((40, 44, 52), (213, 94, 0), (230, 159, 0), (240, 228, 66)),
        *((0, 158, 115), (86, 180, 233), (0, 114, 178), (204, 121, 167)),
    ),
)
"""The embedded procedural data set, see `ShapesSource`, in colours that the colour-blind tell apart (Okabe and Ito)."""

WIRES = Classes(names=("background", "massive", "wire"), colors=((0, 0, 0), (0, 114, 178), (230, 159, 0)))
"""The classes of `WiresSource`, in colours that are distinct to colour-blind eyes and in grey."""
