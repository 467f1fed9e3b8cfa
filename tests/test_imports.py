"""What needs no network does not import PyTorch, which takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import hand_made_run

LOOK = """
import sys
{code}
known = ("torch", "torchvision", "lightning", "transformers", "timm", "skimage")
heavy = sorted(name for name in known if name in sys.modules and name not in {but})
assert not heavy, heavy
"""


def check(code: str, folder: Path, but: tuple[str, ...] = ()) -> None:
    look = LOOK.format(code=code, but=but)
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import a2lc; a2lc.Experiment(dataset='toy', segmenter={'iterations': 3}, correction={'guard': True})",
        "from a2lc import Classes, Dataset, MaskSet, Run, data_miou, find_runs, load_dataset",
        "from a2lc.human import Approval, Queue, automatic_corrections, next_round, undo_corrections",
        "from a2lc.acquisition import ACQUISITION_FUNCTIONS, class_weights, get_acquisition_function",
        "import a2lc; a2lc.Experiment(segmenter={'network': 'frozen'}); import a2lc.human.own_dataset",
        "import a2lc.segmenter.pretrained, a2lc.segmenter.weight_files",
        "from a2lc.correction import LCMSettings, Oracle; from a2lc.segmenter import SegmenterSettings",
        "from a2lc.widgets import Annotator, Approver, MaskBrowser",
    ],
)
def test_settings_and_people_need_no_pytorch(code: str, tmp_path: Path) -> None:
    check(code, tmp_path)


def test_changes_and_write_back_need_no_pytorch(tmp_path: Path) -> None:
    """They cut labels into regions and draw outlines, so scikit-image is theirs."""
    check("import a2lc.human.write_back", tmp_path, but=("skimage",))


def test_a_look_at_runs_needs_no_pytorch(tmp_path: Path) -> None:
    hand_made_run(tmp_path)
    code = "import a2lc.cli; sys.argv = ['a2lc', 'status', '--runs-dir', 'runs']\n"
    code += "try:\n    a2lc.cli.main()\nexcept SystemExit as stop:\n    assert not stop.code"
    check(code, tmp_path)
    check("import a2lc; (run,) = a2lc.find_runs('runs'); run.masks(1), run.queries(1), run.status", tmp_path)
