from .config import Experiment as Experiment
from .datasets import Classes as Classes
from .datasets import Dataset as Dataset
from .datasets import load_dataset as load_dataset
from .human.finding import find as find
from .human.inspection import inspect as inspect
from .masks import MaskSet as MaskSet
from .metrics import data_miou as data_miou
from .paper.comparison import compare as compare
from .paper.many import run_many as run_many
from .rounds import run as run
from .runs import Run as Run
from .runs import find_runs as find_runs

__version__: str
