"""What pyproject.toml cannot say: the wheel carries the notebooks, and its page shows nothing that is not there."""

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

RELATIVE = re.compile(r"(!?)\[([^][]*)\]\((?!\w+:|#)[^)\s]*\)")  # pictures and links of files beside README.md


class WithNotebooks(build_py):
    """The package, and in it ``a2lc/notebooks``; an editable installation finds those of the checkout."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for pattern in ("*.ipynb", "params/*.yaml"):
                for path in Path("notebooks").glob(pattern):
                    target = Path(self.build_lib, "a2lc", path)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)


def page() -> str:
    """README.md without its pictures, and with the words of links alone, where these are files of the repository."""
    text = Path("README.md").read_text(encoding="utf-8")
    return RELATIVE.sub(lambda found: "" if found[1] else found[2], text)


setup(cmdclass={"build_py": WithNotebooks}, long_description=page(), long_description_content_type="text/markdown")
