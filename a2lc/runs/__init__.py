"""Runs on disk: what each round has found, asked, been told and corrected; read and written here only."""

from a2lc.runs.places import place_of, run_folders
from a2lc.runs.round_folder import RoundFolder
from a2lc.runs.run import SHARED, Run, find_runs
from a2lc.runs.stage_folder import STAGES, StageFolder

__all__ = ["SHARED", "STAGES", "RoundFolder", "Run", "StageFolder", "find_runs", "place_of", "run_folders"]
