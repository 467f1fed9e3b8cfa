"""What notebooks begin with (`begin`): checked parameters, profiles, and the project's folder."""

from a2lc.notebook.parameters import (
    INJECTED,
    PROFILE,
    Parameter,
    item_of,
    parameters_by_item,
    parameters_of,
    profile_for,
    read_profile,
    settle,
)
from a2lc.notebook.project import (
    NOTEBOOKS,
    PACKAGED,
    PROJECT,
    begin,
    copy_notebooks,
    current_parameters,
    last_parameters,
    notebooks_of,
    project_folder,
)

__all__ = [
    "INJECTED",
    "NOTEBOOKS",
    "PACKAGED",
    "PROFILE",
    "PROJECT",
    "Parameter",
    "begin",
    "copy_notebooks",
    "current_parameters",
    "item_of",
    "last_parameters",
    "notebooks_of",
    "parameters_by_item",
    "parameters_of",
    "profile_for",
    "project_folder",
    "read_profile",
    "settle",
]
