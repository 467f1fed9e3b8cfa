from .data import ReferringDataset as ReferringDataset
from .data import ReferringSplit as ReferringSplit
from .data import labelled_images as labelled_images
from .loading import load_dataset as load_dataset
from .metrics import ReferringMetrics as ReferringMetrics
from .metrics import score_masks as score_masks
from .refcoco import import_refcoco as import_refcoco
