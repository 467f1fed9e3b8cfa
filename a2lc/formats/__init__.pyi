from .exporting import export_source as export_source
from .exporting import imported_format as imported_format
from .importing import FORMATS as FORMATS
from .importing import import_dataset as import_dataset

__all__ = ["FORMATS", "export_source", "import_dataset", "imported_format"]
