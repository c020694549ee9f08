"""docs/recipes.md: its script runs and prints what it shows, and its table of settings is that of the code."""

import re
import subprocess
import sys
from pathlib import Path

from trainguard.recipes import LargeLRConfig
from trainguard.recipes.fields import FIELDS

PAGE = (Path(__file__).parents[3] / "docs" / "recipes.md").read_text(encoding="utf-8")


def shape(text: str) -> list[str]:
    """Its lines without numbers, which differ in the last digits from machine to machine, and without alignment."""
    return [re.sub(r"None|[\d.,e-]*\d%?", "#", " ".join(line.split())) for line in text.splitlines()]


def test_the_script_prints_what_the_page_shows(tmp_path: Path) -> None:
    """All lines; and the trained network is right on nearly all, also without half of its weights."""
    script, output = re.findall(r"^```(?:python|text)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[:2]
    (tmp_path / "digits.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "digits.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert shape(done.stdout) == shape(output)
    assert float(done.stdout.splitlines()[-1].split()[-2]) > 0.95


def test_the_table_of_settings_is_that_of_the_code() -> None:
    """Field, default, variable and flag of each."""
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")[:4]] for line in PAGE.splitlines()]
    shown = [row for row in rows if len(row) == 4 and row[2].startswith("LARGE_LR_")]
    config = LargeLRConfig()
    defaults = [getattr(config, field.name) for field in FIELDS]
    assert shown == [
        [field.name, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value), field.variable, flag]
        for field, value in zip(FIELDS, defaults, strict=True)
        for flag in [field.flag or ""]
    ]
