"""`a2lc compare`: which numbers two folders of results have, the verdict on each, and that the same code on the same
machine writes the same files; the tolerances that `benchmarks/spread.py` derives."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from math import isnan, nan
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from small_runs import files_of
from typer.testing import CliRunner

import a2lc
from a2lc.cli import app
from a2lc.files import read_json, write_json
from a2lc.paper.comparison import TOLERANCES, made_differently, read_numbers, read_tolerances, reproduced
from a2lc.paper.comparison_report import report
from a2lc.paper.regenerate import execute, plan, redirected
from a2lc.paper.summary import REFERRING, save_headline, write_minutes

ROOT = Path(__file__).resolve().parents[1]
TOY = ROOT / "paper_figures" / "toy"
TABLE = "method,round,mean,played\nalc,0,42.5,True\nalc,1,50.25,True\na2lc,1,,False\n"
TOLERANCE = """# where they come from
file,number,runs,of,low,high,tolerance
table1.csv,alc round 0: mean,6,6,42.5,42.5,0.0001
table1.csv,alc round 1: mean,6,6,49,51,3
table1_headline.json,"ALC, round 1 (%)",6,6,49,51,3
table1_flows.csv,car road: n,6,6,5,9,4
table1_flows.csv,road car: n,2,6,1,2,1
"""


def picture(path: Path, shade: float) -> None:
    Image.new("L", (2, 2), round(shade)).save(path)


def result(folder: Path, mean: float = 50.25, flows: str = "car,road,7\nroad,car,1\n", **computed: str) -> Path:
    """A small folder of results, tolerances with it."""
    folder.mkdir()
    (folder / "table1.csv").write_text(TABLE.replace("50.25", str(mean)))
    (folder / "table1_flows.csv").write_text(f"old,new,n\n{flows}")
    (folder / "table1_curves.json").write_text(f'{{"plotted": {mean}}}')
    picture(folder / "table1.png", mean)
    save_headline("table1", folder, "Simulated.", {"ALC, round 1 (%)": (mean, 67.0), "none": (nan, None)})
    proof = {
        "minutes": mean,
        "config": {"segmenter": {"lr": 0.1}},
        "computed": {"packages": {"torch": "2.9"}, **computed},
    }
    write_json(folder / "table1_provenance.json", proof)
    (folder / TOLERANCES).write_text(TOLERANCE)
    return folder


def verdicts(committed: Path, now: Path) -> dict[str, str]:
    table = a2lc.compare(committed, now)
    return dict(zip(table["number"].where(table["number"] != "", table["file"]), table["verdict"], strict=True))


# -------------------------------------------------------------------------------------------------------- numbers
def test_a_cell_is_called_by_its_row_and_column(tmp_path: Path) -> None:
    folder = result(tmp_path / "a")
    assert read_numbers(folder / "table1.csv") == {
        "alc round 0: mean": 42.5,
        "alc round 0: played": 1,
        "alc round 1: mean": 50.25,
        "alc round 1: played": 1,
        "a2lc round 1: played": 0,
    }
    assert read_numbers(folder / "table1_headline.json") == {"ALC, round 1 (%)": 50.25}


def test_rows_of_one_name_are_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("row,n\na,1\na,2\n")
    assert read_numbers(tmp_path / "t.csv") == {"a: n": 1, "a (2): n": 2}
    file = tmp_path / "t_headline.json"
    write_json(file, {"rows": [{"what": "a", "ours": value} for value in (1, None, 3)]})
    assert read_numbers(file) == {"a": 1, "a (3)": 3}


@pytest.mark.parametrize("path", sorted(TOY.glob("*.csv")), ids=lambda path: path.name)
def test_every_cell_of_the_committed_tables_has_a_name_of_its_own(path: Path) -> None:
    if path.name != TOLERANCES:
        assert not any(name.split(": ")[0].endswith(" (2)") for name in read_numbers(path))


# ------------------------------------------------------------------------------------------------------- verdicts
def test_a_copy_is_identical(tmp_path: Path) -> None:
    shutil.copytree(TOY, tmp_path / "toy")
    write_minutes(tmp_path / "toy", {"table1": 99.0})
    table = a2lc.compare(TOY, tmp_path / "toy")
    assert set(table["verdict"]) == {"identical"}
    assert {"table1", "table4", "figure6", "quickstart"} <= set(table["item"]) and "lcm" not in set(table["item"])
    done = CliRunner().invoke(app, ["compare", str(TOY), str(tmp_path / "toy")])
    assert done.exit_code == 0 and f"{TOY} is reproduced" in done.output.splitlines()[-1]


def test_what_is_played_only_when_named_is_compared_where_it_was(tmp_path: Path) -> None:
    """`make reproduce` plays no table6, and is judged without it."""
    for name in ("toy", "more"):
        shutil.copytree(TOY, tmp_path / name)
    minutes = json.loads((TOY / "minutes.json").read_text())
    kept = {item: spent for item, spent in minutes.items() if item not in REFERRING}
    assert len(kept) < len(minutes)
    (tmp_path / "toy" / "minutes.json").write_text(json.dumps(kept))
    for file in [file for item in REFERRING for file in (tmp_path / "toy").glob(f"{item}*")]:
        file.unlink()
    table = a2lc.compare(TOY, tmp_path / "toy")
    assert set(table["verdict"]) == {"identical"} and not {*REFERRING} & {*table["item"]}
    assert {*REFERRING} <= {*a2lc.compare(TOY, tmp_path / "more")["item"]}
    del kept["table1"]
    (tmp_path / "toy" / "minutes.json").write_text(json.dumps(kept))
    (tmp_path / "toy" / "table1.csv").unlink()
    assert "missing" in set(a2lc.compare(TOY, tmp_path / "toy")["verdict"]), "of other items nothing may be missing"


def test_within_and_beyond_the_tolerance(tmp_path: Path) -> None:
    here, near, far = result(tmp_path / "a"), result(tmp_path / "b", 53.25), result(tmp_path / "c", 53.26)
    assert verdicts(here, near) == {
        "ALC, round 1 (%)": "reproduced",
        "alc round 0: mean": "reproduced",
        "alc round 0: played": "reproduced",
        "alc round 1: mean": "reproduced",
        "alc round 1: played": "reproduced",
        "a2lc round 1: played": "reproduced",
        "car road: n": "identical",
        "road car: n": "identical",
        "table1.png": "other bytes",
        "table1_curves.json": "other bytes",
        "table1_provenance.json": "other bytes",
    }
    beyond = {name for name, verdict in verdicts(here, far).items() if verdict == "differs"}
    assert beyond == {"ALC, round 1 (%)", "alc round 1: mean"}
    row = a2lc.compare(here, far).set_index("number").loc["alc round 1: mean"]
    assert (row["committed"], row["now"], row["tolerance"]) == (50.25, 53.26, 3)
    assert row["difference"] == pytest.approx(3.01)


def test_without_tolerances_numbers_have_to_be_equal(tmp_path: Path) -> None:
    here, now = result(tmp_path / "a"), result(tmp_path / "b", 50.2501)
    (here / TOLERANCES).unlink()
    found = verdicts(here, now)
    assert (found["alc round 0: mean"], found["alc round 1: mean"]) == ("reproduced", "differs")
    assert isnan(a2lc.compare(here, now)["tolerance"].max())


def test_rows_that_come_and_go(tmp_path: Path) -> None:
    here = result(tmp_path / "a")
    fewer, other = (
        result(tmp_path / "b", flows="car,road,7\ncar,tree,3\n"),
        result(tmp_path / "c", flows="road,car,1\n"),
    )
    found = verdicts(here, fewer)
    assert (found["road car: n"], found["car tree: n"]) == ("varies", "varies")
    assert verdicts(here, other)["car road: n"] == "missing"  # every measured run has it
    (here / TOLERANCES).unlink()
    assert verdicts(here, fewer)["road car: n"] == verdicts(here, fewer)["car tree: n"] == "missing"


@pytest.mark.parametrize("name", ["table1.csv", "table1.png", "table1_headline.json", "table1_provenance.json"])
def test_a_missing_file_fails(name: str, tmp_path: Path) -> None:
    here, now = result(tmp_path / "a"), result(tmp_path / "b")
    (now / name).unlink()
    for pair in ((here, now), (now, here)):
        assert {name for name, verdict in verdicts(*pair).items() if verdict == "missing"} == {name}
        assert CliRunner().invoke(app, ["compare", *map(str, pair)]).exit_code == 1


def test_a_file_without_numbers_beside_it_has_to_be_the_same(tmp_path: Path) -> None:
    here, now = result(tmp_path / "a"), result(tmp_path / "b")
    for folder in (here, now):
        (folder / "scale.json").write_text(f'"{folder.name}"')
    assert verdicts(here, now)["scale.json"] == "differs"
    write_minutes(here, {"table1": 1.0})  # a2lc regenerate made table1 and nothing else
    assert "scale.json" not in verdicts(here, now)


@pytest.mark.parametrize("beside", [True, False], ids=["beside a table with numbers", "alone"])
def test_a_table_without_any_number_has_to_be_the_same(beside: bool, tmp_path: Path) -> None:
    here, now = tmp_path / "a", tmp_path / "b"
    for folder in (here, now):
        if beside:
            result(folder)
        folder.mkdir(exist_ok=True)
        (folder / "table1_words.csv").write_text("old,new\ncar,road\n")
    assert verdicts(here, now)["table1_words.csv"] == "identical"
    (now / "table1_words.csv").write_text("old,new\nroad,car\n")
    picture(now / "table1.png", 2)
    picture(here / "table1.png", 1)
    found = verdicts(here, now)
    assert (found["table1_words.csv"], found["table1.png"]) == ("differs", "other bytes" if beside else "differs")
    assert CliRunner().invoke(app, ["compare", str(here), str(now)]).exit_code == 1


@pytest.mark.parametrize("name", ["table1.png", "table1.pdf", "table1.md"])
@pytest.mark.parametrize("content", [b"", b"\n", b"\x89PNG half of one"])
def test_a_picture_or_text_that_nobody_can_look_at_is_missing(name: str, content: bytes, tmp_path: Path) -> None:
    here, now = result(tmp_path / "a"), result(tmp_path / "b")
    for folder in (here, now):
        (folder / "table1.pdf").write_bytes(b"%PDF-1.4 " + folder.name.encode())
        (folder / "table1.md").write_text(folder.name)
    assert verdicts(here, now)[name] in ("identical", "other bytes")
    (now / name).write_bytes(content)
    wanted = "other bytes" if name.endswith("md") and content.strip() else "missing"
    assert verdicts(here, now)[name] == wanted


def test_some_items_alone(tmp_path: Path) -> None:
    here, now = result(tmp_path / "a"), result(tmp_path / "b")
    (here / "table2.csv").write_text("method,mean\nalc,1\n")

    def compared(*options: str) -> Any:
        return CliRunner().invoke(app, ["compare", str(here), str(now), *options])

    assert compared().exit_code == 1
    alone = compared("--only", "table1,")
    assert alone.exit_code == 0 and alone.output.splitlines()[-1] == f"{now}: table1, of {here} is reproduced"
    assert compared("--only", "table2").exit_code == 1
    assert "--only figure9: expected one of table1, table2" in str(compared("--only", "figure9").exception)
    assert "--only: expected names with commas between them, found ','" in str(compared("--only", ",").exception)


@pytest.mark.parametrize("tolerance", ["inf", "-1", "nan"])
def test_a_tolerance_that_allows_everything_is_damaged(tolerance: str, tmp_path: Path) -> None:
    here = result(tmp_path / "a")
    table = pd.read_csv(here / TOLERANCES, comment="#").astype({"tolerance": object})
    table.loc[0, "tolerance"] = tolerance
    table.to_csv(here / TOLERANCES, index=False)
    with pytest.raises(ValueError, match=r"tolerances\.csv: damaged tolerances \(expected finite numbers >= 0\)"):
        a2lc.compare(here, here)


def test_nothing_to_compare_is_no_reproduction(tmp_path: Path) -> None:
    here, now = result(tmp_path / "a"), result(tmp_path / "b")
    for folder in (here, now):
        write_minutes(folder, {"table2": 1.0})
    assert a2lc.compare(here, now).empty
    done = CliRunner().invoke(app, ["compare", str(here), str(now)])
    assert done.exit_code == 1 and "is NOT reproduced: there is nothing to compare" in done.output


def test_infinity_is_a_number(tmp_path: Path) -> None:
    here, now = result(tmp_path / "a", flows="car,road,inf\nroad,car,-inf\nsky,car,inf\n"), tmp_path / "b"
    result(now, flows="car,road,inf\nroad,car,inf\nsky,car,7\n")
    found = verdicts(here, now)
    names = ("car road: n", "road car: n", "sky car: n")
    assert [found[name] for name in names] == ["reproduced", "differs", "differs"]


# --------------------------------------------------------------------------------------------------------- report
def test_the_report_shows_headlines_and_the_furthest_numbers(tmp_path: Path) -> None:
    here, now = result(tmp_path / "a"), result(tmp_path / "b", 55.0)
    lines = report(a2lc.compare(here, now)).splitlines()
    assert lines[0].split() == ["item", "what", "committed", "now", "difference", "tolerance", "verdict"]
    assert lines[1].split()[-5:] == ["50.25", "55", "+4.75", "3", "differs"] and "ALC, round 1 (%)" in lines[1]
    assert "table1.csv, 1 of 5 fail: alc round 1: mean" in lines[2]
    assert "table1_flows.csv, 2 numbers" in lines[3] and lines[3].endswith("identical")
    assert lines[4] == "" and lines[5:] == [
        "1 headline numbers: 1 differs",
        "7 numbers in tables: 4 reproduced, 2 identical, 1 differs",
        "3 files: 3 other bytes",
    ]
    assert len(report(a2lc.compare(here, now), every=True).splitlines()) == 1 + 8 + 3 + 4


def test_the_end_says_what_was_different(tmp_path: Path) -> None:
    here = result(tmp_path / "a", precision="float32")
    now = result(tmp_path / "b", 55.0, precision="bfloat16", processor="X (AVX2)")
    assert made_differently(here, now) == {
        "computed": ["precision float32, now bfloat16", "processor not recorded, now X (AVX2)"],
        "config": [],
    }
    done = CliRunner().invoke(app, ["compare", str(here), str(now)])
    assert done.exit_code == 1
    *_, made, end = done.output.splitlines()
    assert made == "made with: precision float32, now bfloat16; processor not recorded, now X (AVX2)"
    assert end == f"{now}: {here} is NOT reproduced, 2 of 11 fail"


def test_a_few_numbers_may_differ_on_another_machine_but_not_on_this_one() -> None:
    def found(*verdicts: str) -> pd.DataFrame:
        rows = [{"file": "t.csv", "number": str(i), "verdict": verdict} for i, verdict in enumerate(verdicts)]
        return pd.DataFrame([*rows, {"file": "t.png", "number": "", "verdict": "other bytes"}])

    good = ["reproduced"] * 98
    assert reproduced(found(*good), elsewhere=False) == (True, "reproduced")
    two, three = found(*good, "differs", "differs"), found(*good, "differs", "differs", "differs")
    assert reproduced(two, elsewhere=True) == (True, "reproduced: 2 of 100 numbers differ, as some do by chance")
    assert reproduced(two, elsewhere=False) == (False, "NOT reproduced, 2 of 101 fail")
    assert reproduced(three, elsewhere=True) == (False, "NOT reproduced, 3 of 102 fail")
    assert not reproduced(found(*good, "missing"), elsewhere=True)[0]


def test_wrong_folders_are_named(tmp_path: Path) -> None:
    here = result(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="b: no such folder of results"):
        a2lc.compare(here, tmp_path / "b")
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match="b: expected results such as table1.csv"):
        a2lc.compare(here, tmp_path / "b")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("table1.csv", ""),
        ("table1.csv", '"'),
        ("table1_headline.json", "[]"),
        ("table1_headline.json", '{"rows": [{"what": "x"}]}'),
        ("table1_headline.json", '{"rows": [{"what": "x", "ours": "y"}]}'),
        ("minutes.json", "5"),
        (TOLERANCES, "file,number\na,b\n"),
        (TOLERANCES, "file,number,runs,of,low,high,tolerance\na,b,6,6,1,2,wide\n"),
    ],
)
def test_damaged_files_are_named(name: str, text: str, tmp_path: Path) -> None:
    here, now = result(tmp_path / "a"), result(tmp_path / "b")
    (here / name).write_text(text)
    with pytest.raises(ValueError, match=name):
        a2lc.compare(here, now)


@pytest.mark.parametrize("text", ["[1]", '{"computed": 5}', '{"config": "x"}'])
def test_damaged_provenances_are_named(text: str, tmp_path: Path) -> None:
    here, now = result(tmp_path / "a"), result(tmp_path / "b")
    (now / "table1_provenance.json").write_text(text)
    with pytest.raises(ValueError, match="b.table1_provenance.json: .*expected a JSON object, found"):
        made_differently(here, now)


# ------------------------------------------------------------------------------------- the same code, the same files
@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Table 1's notebook with a profile of seconds."""
    folder = tmp_path / "notebooks"
    (folder / "params").mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / "table1_rounds.ipynb", folder)
    profile: dict[str, Any] = {"dataset": "toy", "rounds": 1, "budget": 0.01, "methods": ["a2lc"]}
    profile |= {"segmenter": {"scale": 0.5, "iterations": 2}, "correction": {"epochs": 2, "thresholds": [0.1]}}
    profile |= {"runs_dir": "runs", "figures_dir": "paper_figures/tiny"}
    (folder / "params" / "tiny.yaml").write_text(yaml.safe_dump({"profile": profile}))
    return folder


@pytest.mark.slow
def test_the_same_code_on_the_same_machine_writes_the_same_bytes(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for out in (tmp_path / "a", tmp_path / "b"):
        for outcome in execute(redirected(plan("tiny", tiny), out), progress=False):
            assert outcome.error is None
    first, second = (files_of(tmp_path / out / "tiny") for out in "ab")
    made = {name for name in first if not name.startswith("executed")}
    assert made == {name for name in second if not name.startswith("executed")}
    assert {"table1.csv", "table1.md", "table1.tex", "table1_curves.png", "table1_curves.pdf"} <= made
    clocked = {name for name in made if first[name] != second[name]}
    assert clocked <= {"table1_provenance.json"}
    proofs = [read_json(tmp_path / out / "tiny" / "table1_provenance.json") | {"minutes": 0} for out in "ab"]
    assert proofs[0] == proofs[1] and proofs[0]["computed"]["precision"] in ("float32", "bfloat16")
    judged = a2lc.compare(tmp_path / "a" / "tiny", tmp_path / "b" / "tiny")
    assert set(judged.loc[judged["file"] != "table1_provenance.json", "verdict"]) == {"identical"}
    assert not (tmp_path / "runs").exists() and not (tmp_path / "paper_figures").exists()


def test_runs_of_others_are_not_taken(tiny: Path, tmp_path: Path) -> None:
    tasks = plan("tiny", tiny)
    (moved,) = redirected(tasks, tmp_path / "out")
    assert moved.folder == tmp_path / "out" / "tiny" and moved.notebook == tasks[0].notebook
    places = {"runs_dir": str(tmp_path / "out" / "runs"), "figures_dir": str(moved.folder)}
    assert moved.parameters == tasks[0].parameters | places
    assert redirected(tasks, tmp_path / "out")[0].parameters == moved.parameters  # its own runs are gone on with
    file = tmp_path / "out" / "made_with.json"
    write_json(file, read_json(file) | {"code": "other"})
    with pytest.raises(ValueError, match="holds runs made otherwise: code: wanted '.*', found 'other'"):
        redirected(tasks, tmp_path / "out")
    file.unlink()
    (tmp_path / "out" / "runs").mkdir()
    with pytest.raises(ValueError, match="does not say by what they were made"):
        redirected(tasks, tmp_path / "out")


# --------------------------------------------------------------------------------------------- measured tolerances
@pytest.fixture(scope="module")
def spread() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import spread

    yield spread
    sys.path.remove(str(ROOT / "benchmarks"))
    del sys.modules["spread"]


SEEDS = [0, 0, 1, 1, 2, 2]
VALUES = {
    ("t.csv", "a: mean"): [1.0, 2, 4, 5, 2, 3],  # moves with kernels and seeds: range 4
    ("t.csv", "b: mean"): [7.0, 7.5, 7, 8, 7, 7],  # range 1, less than the usual range of its column, 2
    ("t.csv", "c: mean"): [7.0, 7, 8, 8, 9, 9],  # moves with the seed only: range 2
    ("t.csv", "d: mean"): [7.0, 7, 7, 7, 7, 7],
    ("t.csv", "e: n"): [1.0, 2, nan, nan, nan, nan],
}


def values() -> pd.DataFrame:
    return pd.DataFrame.from_dict(VALUES, orient="index").set_axis(pd.MultiIndex.from_tuples(VALUES))


def test_what_is_the_same_in_all_runs_has_to_be_the_same(spread: ModuleType) -> None:
    np.testing.assert_allclose(spread.scales(values()), [4, 2, 2, 0, 1])
    table = spread.tolerances(values()).set_index("number")
    assert table["tolerance"].to_dict() == {"a: mean": 8, "b: mean": 4, "c: mean": 4, "d: mean": 0.0001, "e: n": 2}
    assert table["runs"].to_list() == [6, 6, 6, 6, 2] and set(table["of"]) == {6}
    assert (table["low"]["a: mean"], table["high"]["a: mean"]) == (1, 5)


def test_every_pair_is_judged_by_the_other_seeds(spread: ModuleType) -> None:
    moving = values().iloc[:3]
    assert spread.check(moving, SEEDS) == (9, 0)
    wild = moving.copy()
    wild.iloc[0, 3] = 9.1  # 5.1 apart; the others range over 2, 0.5 and 2, so twice the median is not more than 4
    assert spread.check(wild, SEEDS) == (9, 1)
    still = values().iloc[[3]]
    still.iloc[0, 1] = 7.5
    assert spread.check(still, SEEDS) == (3, 1)  # moved in one pair only
    assert spread.check(values().iloc[4:], SEEDS) == (0, 0)  # no other run has this number


def test_tolerances_are_written_beside_the_results_and_used(
    spread: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = []
    for seed in (0, 1, 2):
        for kernels, more in (("float32", 0.0), ("bfloat16", 0.5 + seed)):
            folder = result(tmp_path / f"{kernels}-s{seed}", 50.25 + seed + more, precision=kernels, processor="X")
            proof = read_json(folder / "table1_provenance.json")
            write_json(folder / "table1_provenance.json", proof | {"config": {"seed": seed}})
            (folder / "table1_seeds.csv").write_text(f"seed,n\n{seed},{seed + more:.0f}\n")
            write_minutes(folder, {"table1": 1.0})
            folders.append(folder)
    committed = folders[0]
    monkeypatch.setattr(sys, "argv", ["spread.py", "write", str(committed), *map(str, folders)])
    spread.main()
    assert "bfloat16 on X, seed 2: torch 2.9" in capsys.readouterr().out
    text = (committed / TOLERANCES).read_text()
    assert text.startswith("# How far") and "# float32 on X, seed 0: torch 2.9\n" in text
    known = read_tolerances(committed / TOLERANCES)
    assert list(known["table1_seeds.csv"].index) == ["seed 0: n"]
    low, high = known["table1.csv"].loc["alc round 1: mean", ["low", "high"]]
    assert (low, high) == (50.25, 54.75)
    assert not a2lc.compare(committed, folders[1])["verdict"].isin(["differs", "missing"]).any()
    # Another table of the same runs, measured later: what is known of the first stays.
    committed = shutil.copytree(committed, tmp_path / "committed")
    for number, folder in enumerate(folders):
        (folder / "table1.csv").unlink()
        (folder / "table1_more.csv").write_text(f"row,mean\na,{number}\n")
    (committed / "table1_more.csv").write_text("row,mean,n\na,1,1\nb,7,1\n")
    (committed / "table1_other.csv").write_text("row,mean,n\na,1,1\nc,7,1\n")
    (committed / "table1_short.csv").write_text("round,mean\n1,50\n")
    monkeypatch.setattr(sys, "argv", ["spread.py", "write", "--add", str(committed), *map(str, folders)])
    spread.main()
    text = (committed / TOLERANCES).read_text()
    assert text.startswith("# How far") and text.count("# float32 on X, seed 0") == 2 and "# Later, table1:\n" in text
    later = read_tolerances(committed / TOLERANCES)
    pd.testing.assert_frame_equal(later["table1.csv"], known["table1.csv"], check_dtype=False)
    more = later["table1_more.csv"]
    assert more.loc["a: mean", ["runs", "low", "high"]].tolist() == [6, 0, 5]
    assert more.loc["b: mean", "tolerance"] == more.loc["a: mean", "tolerance"] == 10  # a row that no run has
    assert more.loc["b: mean", ["runs", "of"]].tolist() == [0, 0]
    assert later["table1_other.csv"]["tolerance"].to_dict() == {"a: mean": 10}  # by its name
    longer = later["table1.csv"]["tolerance"].filter(regex=" round 1: mean$")
    assert later["table1_short.csv"]["tolerance"].to_dict() == {"round 1: mean": longer.max()}
    monkeypatch.setattr(sys, "argv", ["spread.py", "write", *map(str, folders[:3])])
    with pytest.raises(SystemExit, match="expected two or more seeds"):
        spread.main()


def test_a_precision_and_a_seed_are_forced(spread: ModuleType, tiny: Path) -> None:
    (task,) = plan("tiny", tiny)
    parameters = spread.forced(task, "bfloat16", 2, {"methods": ["alc"], "functions": ["abc"]}).parameters
    assert parameters["seeds"] == [2] and parameters["methods"] == ["alc"] and "functions" not in parameters
    assert parameters["segmenter"] == {"scale": 0.5, "iterations": 2, "precision": "bfloat16"}
