"""Faults at every system call: of each command the n-th call of a kind (open, write, fsync, rename, link, unlink)
fails, or is the last one before SIGKILL, or waits while the same command is typed a second time. Then the command is
typed again, and its files are compared with those of an undisturbed one. Linux, with a C compiler.
`python benchmarks/faults.py --out paper_figures`, in the background: thousands of commands.

Writes faults.csv and faults.md, a row per command and fault: *calls* of the kind in the command's folder, *tries* (all
n; of long commands, or with --most, so many of them, evenly spread), and what became of them:

- same result: all files are those of an undisturbed command, at once or after the command was typed again;
- refused by name: the command typed again ends with a sentence that names what is wrong, and every file that was there
  before is as it was, or as the command was to make it;
- lost: anything else: other files, leftovers, a traceback, a hang. Must be 0.

`--keep` leaves what was lost in its folder.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from faults_commands import COMMANDS, STATES, Command, fill_in, lay_pictures, make_data, mask_in, run_in

import a2lc.cli
from a2lc.files import write_text
from a2lc.paper.tables import markdown_table

KINDS = ("open", "write", "fsync", "rename", "link", "unlink")
FAULTS = ("counted", "fails", "kills", "waits")
SHIM = "A2LC_FAULTS"  # environment variable: the library that is loaded before libc
PATIENCE = 300  # seconds for a command of one
CLOCKS = ("time", "seconds", "made", "threads", "also", "session")


# ------------------------------------------------------------------------------------------------ one command
@dataclass
class Ended:
    """How a command ended: its exit status, negative for a signal, what it said, and the calls of each kind."""

    status: int
    said: str
    counts: list[int] = field(default_factory=list)

    @property
    def raised(self) -> bool:
        """Whether it ended with a traceback, or not at all."""
        return "Traceback (most recent call last)" in self.said or self.status == -signal.SIGALRM


class Commands:
    """Types commands in processes that are forked from this one, so that nothing has to be imported again."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.logs: dict[int, Path] = {}
        self.shim = ctypes.CDLL(os.environ[SHIM])

    def begin(self, words: tuple[str, ...], kind: str = "open", fault: str = "counted", number: int = 0) -> int:
        """Start a command; the number of its process."""
        log = self.place.with_name(f"log-{time.monotonic_ns()}")
        if pid := os.fork():
            self.logs[pid] = log
            return pid
        status = 70
        try:
            status = self._typed(words, log, kind, fault, number)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def here(self, words: tuple[str, ...]) -> int:
        """Type a command in this process, so that what it imports is here afterwards; its exit status."""
        return self._run(self.meant(words))

    def meant(self, words: tuple[str, ...]) -> list[str]:
        """The words with the run of the place, and a mask that it corrected."""
        meant = {"RUN": run_in(self.place), "MASK": mask_in(self.place) if "MASK" in words else ""}
        return [meant.get(word, word) for word in words]

    def _run(self, words: list[str]) -> int:
        before = Path.cwd()
        os.chdir(self.place)
        sys.argv = ["a2lc", *words]
        try:
            a2lc.cli.main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            os.chdir(before)
        return 0

    def _typed(self, words: tuple[str, ...], log: Path, kind: str, fault: str, number: int) -> int:
        signal.alarm(PATIENCE)
        with log.open("w", encoding="utf-8") as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
        meant = self.meant(words)  # looked up before anything fails
        self.shim.faults_arm(str(self.place).encode(), KINDS.index(kind), FAULTS.index(fault), number)
        status = self._run(meant)
        self.shim.faults_disarm()
        counts = [self.shim.faults_count(i) for i in range(len(KINDS))]
        log.with_suffix(".counts").write_text(json.dumps(counts), encoding="utf-8")
        return status

    def end(self, pid: int) -> Ended:
        """Wait for a command."""
        _, status = os.waitpid(pid, 0)
        log = self.logs.pop(pid)
        counts = log.with_suffix(".counts")
        ended = Ended(
            os.waitstatus_to_exitcode(status),
            log.read_text(encoding="utf-8", errors="replace"),
            json.loads(counts.read_text(encoding="utf-8")) if counts.is_file() else [],
        )
        log.unlink()
        counts.unlink(missing_ok=True)
        return ended

    def type(self, words: tuple[str, ...], *fault: object) -> Ended:
        """Start a command, and wait for it."""
        return self.end(self.begin(words, *fault))  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, str]:
    """Every file below but locks, hidden ones too: name -> a hash, of JSON without clocks. Where no link can be made
    a copy serves as well."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if ".locks" in name.parts or path.is_dir():
            continue
        data = path.read_bytes() if path.is_file() else os.readlink(path).encode()
        if path.suffix in (".json", ".jsonl"):
            lines = data.splitlines() if path.suffix == ".jsonl" else [data]
            with suppress(ValueError):
                data = json.dumps([_timeless(json.loads(line)) for line in lines]).encode()
        found[str(name)] = hashlib.sha256(data).hexdigest()
    return found


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        if isinstance(stages := value.get("finished"), dict):  # each with the seconds it took
            value = value | {"finished": [*stages]}
        return {name: _timeless(item) for name, item in value.items() if not name.startswith(CLOCKS)}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


# ------------------------------------------------------------------------------------------------ faults
class Bench:
    """Tries faults in one folder, into which states are copied, so that paths are always the same."""

    def __init__(self, folder: Path, keep: bool = False) -> None:
        self.folder, self.keep = folder, keep
        self.place = folder / "place"
        self.commands = Commands(self.place)
        self.lost: list[str] = []

    def make_states(self) -> None:
        """Every state that a command starts from.

        Raises:
            RuntimeError: a command fails without any fault.
        """
        make_data(self.folder / "states" / "data" / "data")
        for state, before, words in STATES:
            self.put(before)
            if self.commands.here(words):
                raise RuntimeError(f"{' '.join(words)} fails without any fault")
            if state.startswith("asked"):
                fill_in(self.place)
            if state in ("coco", "labelme", "yolo"):
                lay_pictures(self.place, state)
            shutil.copytree(self.place, self.folder / "states" / state, symlinks=True)

    def put(self, state: str) -> dict[str, str]:
        """Copy a state to the place; its files."""
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.folder / "states" / state, self.place, symlinks=True)
        return contents(self.place)

    def rows(self, command: Command, most: int | None, faults: Sequence[str]) -> Iterator[dict[str, object]]:
        """A row of the table per kind of call and fault.

        Args:
            command: what is typed.
            most: of each kind and fault so many calls; None: all, or the command's sample.
            faults: of `FAULTS`.
        """
        self.put(command.state)
        self.commands.here(command.words)  # for its imports
        before = self.put(command.state)
        command = replace(command, words=tuple(self.commands.meant(command.words)))  # the same mask each time
        undisturbed = self.commands.type(command.words)
        if undisturbed.status or len(undisturbed.counts) != len(KINDS):
            raise RuntimeError(f"{command.name}: {undisturbed.said}")
        wanted = contents(self.place)
        most = command.sample if most is None else most
        for kind, calls in zip(KINDS, undisturbed.counts, strict=True):
            numbers = range(1, calls + 1)
            if most == 1 and calls:
                numbers = [(calls + 1) // 2]
            elif most is not None and calls > most:
                numbers = [*dict.fromkeys(np.linspace(1, calls, most).round().astype(int).tolist())]
            for fault in faults:
                found = Counter(self._tried(command, kind, fault, number, before, wanted) for number in numbers)
                row = {"command": command.name, "call": kind, "fault": fault, "calls": calls, "tries": len(numbers)}
                yield row | {what: found[what] for what in ("same result", "refused by name", "lost")}

    def _tried(
        self, command: Command, kind: str, fault: str, number: int, before: dict[str, str], wanted: dict[str, str]
    ) -> str:
        self.put(command.state)
        pid = self.commands.begin(command.words, kind, fault, number)
        said = []
        if fault == "waits":
            time.sleep(0.1)
            said.append(self.commands.type(command.words))
        said.append(self.commands.end(pid))
        if not any(ended.raised for ended in said) and contents(self.place) == wanted:
            return "same result"
        said.append(again := self.commands.type(command.words))
        now = contents(self.place)
        if any(ended.raised for ended in said):
            what = "lost"
        elif now == wanted:
            return "same result"
        elif again.status in (1, 2) and all(now.get(name) in (old, wanted.get(name)) for name, old in before.items()):
            named = [name for name in (*before, *wanted, "runs", "data", "changes", "out") if name in again.said]
            what = "refused by name" if named else "lost"
        else:
            what = "lost"
        if what == "lost":
            differ = [name for name in sorted({*now, *wanted}) if now.get(name) != wanted.get(name)]
            told = " / ".join(f"{ended.status}: {ended.said.strip()[-300:]}" for ended in said)
            self.lost.append(f"{command.name}, {kind} {number} {fault}: {differ[:6]}; {told}")
            print(self.lost[-1], file=sys.stderr, flush=True)
            if self.keep:
                shutil.copytree(self.place, self.folder / f"lost-{len(self.lost)}", symlinks=True, dirs_exist_ok=True)
        return what


def tables_of(
    folder: Path, commands: Sequence[Command], most: int | None, faults: Sequence[str], keep: bool = False
) -> Iterator[pd.DataFrame]:
    """The table *command, call, fault -> calls, tries, same result, refused by name, lost*, again after each command.

    Args:
        folder: an empty one.
        commands: what is typed.
        most: of each kind of call and fault so many tries; None: all, or the command's sample.
        faults: of `FAULTS`.
        keep: whether to keep the folders of what was lost.
    """
    bench = Bench(folder, keep)
    bench.make_states()
    rows: list[dict[str, object]] = []
    for command in commands:
        rows += bench.rows(command, most, faults)
        yield pd.DataFrame(rows)


def compiled(folder: Path) -> Path:
    """The library that counts calls.

    Raises:
        OSError: no C compiler.
    """
    library = folder / "faults.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def main() -> None:
    """Compile the library, begin again with it, try the faults, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where faults.csv and faults.md go; none: the table is printed")
    parser.add_argument("--most", type=int, help="of each kind and fault so many calls; all")
    parser.add_argument("--only", help="commands, with commas between them; all")
    parser.add_argument("--faults", default=",".join(FAULTS[1:]), help="fails, kills, waits")
    parser.add_argument("--keep", action="store_true", help="keep the folders of what was lost")
    arguments = parser.parse_args()
    if SHIM not in os.environ:
        with tempfile.TemporaryDirectory(prefix="a2lc-faults-") as folder:
            library = str(compiled(Path(folder)))
            surroundings = os.environ | {SHIM: library, "LD_PRELOAD": library, "OMP_NUM_THREADS": "1"}
            surroundings |= {"TQDM_DISABLE": "1", "PYTHONUNBUFFERED": "1"}
            sys.exit(subprocess.run([sys.executable, *sys.argv], env=surroundings).returncode)
    warnings.simplefilter("ignore")
    only = arguments.only.split(",") if arguments.only else [command.name for command in COMMANDS]
    chosen = tuple(command for command in COMMANDS if command.name in only)
    folder = Path(tempfile.mkdtemp(prefix="a2lc-faults-"))
    lost, start = 0, time.perf_counter()
    try:
        for table in tables_of(folder, chosen, arguments.most, arguments.faults.split(","), arguments.keep):
            lost = _tell(table, arguments.out, time.perf_counter() - start)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(int(lost > 0))


def _tell(table: pd.DataFrame, out: Path | None, seconds: float) -> int:
    """Print the last command's rows and the sums, and write all; how many tries were lost."""
    counts = {name: int(table[name].sum()) for name in ("tries", "same result", "refused by name", "lost")}
    about = f"{table['command'].nunique()} commands; " + ", ".join(f"{name}: {n}" for name, n in counts.items())
    print(markdown_table(table[table["command"] == table["command"].iloc[-1]]), flush=True)
    print(f"{about}; {seconds / 60:.0f} minutes", flush=True)
    if out is not None:
        typed = " ".join(["python benchmarks/faults.py", *sys.argv[1:]])
        write_text(out / "faults.csv", table.to_csv(index=False, lineterminator="\n"))
        write_text(out / "faults.md", f"{about} (`{typed}`).\n\n{markdown_table(table)}\n")
    return counts["lost"]


if __name__ == "__main__":
    main()
