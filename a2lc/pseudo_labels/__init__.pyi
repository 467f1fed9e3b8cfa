from .label_images import grounded_sam as grounded_sam
from .simulated import mask_appearance as mask_appearance
from .simulated import simulate_pseudo_labels as simulate_pseudo_labels
from .statistics import coverage as coverage
from .statistics import error_structure as error_structure
from .statistics import learnable as learnable
from .statistics import mask_records as mask_records
from .statistics import mask_statistics_table as mask_statistics_table
