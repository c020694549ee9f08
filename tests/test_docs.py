"""The documentation is true: what it names exists, what exists it names, and its examples work."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import click
import pytest
from click.testing import CliRunner

from tests.monitor.helpers import Still
from trainguard_monitor.cli import main
from trainguard_monitor.cli.settings import settable
from trainguard_monitor.metrics.collector import build_registry
from trainguard_monitor.notifier.endpoint import Endpoint
from trainguard_monitor.notifier.metrics import NotifierCollector
from trainguard_monitor.notifier.notifier import Notifier
from trainguard_monitor.views.table import RunView
from trainguard_rules import load_text, shipped_packs
from trainguard_rules.actions import ACTIONS
from trainguard_rules.expr.functions import FUNCTIONS
from trainguard_rules.rulefile.schema import FileModel
from trainguard_wire import CodecError, decode_control, decode_journal, decode_telemetry
from trainguard_wire.journal import Verdict
from trainguard_wire.signals import SIGNALS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
BESIDE_DOCS = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "grafana/README.md"]
PAGES = [*(ROOT / name for name in BESIDE_DOCS), *sorted(DOCS.glob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_METRIC = re.compile(r"\btrainguard_(?!wire|rules|monitor\b)[a-z_]+")
_PLACE = re.compile(r"\[(\S+\.py)\]\(\S+\)\s+`([\w.]+)`")  # [trainer/trainguard/guard.py](...) `Guard.step`


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(*languages: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(name_of(page), line, match[1], match[2]))
    return [block for block in found if block.language in languages]


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def rows(page: Path) -> Iterator[list[str]]:
    """The cells of every table row of a page."""
    for line in prose(page).splitlines():
        if line.startswith("|") and not line.startswith("|--"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def named_in_first_cells(page: Path) -> set[str]:
    """The first word of everything in code in the first cells of a page's tables."""
    codes = {code for row in rows(page) for code in _CODE.findall(row[0])}
    return {match[0] for code in codes if (match := re.match(r"[a-z_]+", code))}


def section(page: Path, title: str) -> str:
    """What stands under a heading, down to the next one of its level or above."""
    text = page.read_text(encoding="utf-8")
    match = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert match, f"{name_of(page)} has no section {title!r}"
    following = re.search(rf"^#{{1,{len(match[1])}}} ", text[match.end() :], re.MULTILINE)
    return text[match.end() : match.end() + following.start()] if following else text[match.end() :]


# -- what there is, is documented ----------------------------------------------------------------------------


def test_signals():
    """docs/signals.md has a row for each signal, with its unit, and a section that says when it is not finite."""
    page = DOCS / "signals.md"
    table = re.findall(r"^\| \[`(\w+)`\]\(#\w+\) \| (\S+) \|", section(page, "The signals"), re.MULTILINE)
    assert dict(table) == {name: spec.unit for name, spec in SIGNALS.items()}
    for name in SIGNALS:
        assert "**Not finite:**" in section(page, name)


def test_signals_over_ranks():
    """docs/signals.md says of each signal how the values of several ranks become one."""
    table = re.findall(r"^\| (\w+) \| (`.*) \|$", section(DOCS / "signals.md", "Several ranks"), re.MULTILINE)
    said = {name: how for how, names in table for name in _CODE.findall(names)}
    assert said == {name: spec.over_ranks for name, spec in SIGNALS.items()}


@pytest.mark.parametrize("kind", ACTIONS)
def test_actions(kind):
    """docs/actions.md has a section for each action, with a row for each parameter; and no others."""
    text = section(DOCS / "actions.md", kind)
    parameters = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert parameters == list(ACTIONS[kind].model_fields)
    assert "**Ack:**" in text


def test_ranks_of_actions():
    """The table of ranks in docs/actions.md is that of the code."""
    table = {int(row[0]): set(_CODE.findall(row[1])) for row in rows(DOCS / "actions.md") if row[0].isdigit()}
    ranks: dict[int, set[str]] = {}
    for kind, model in ACTIONS.items():
        ranks.setdefault(model.rank, set()).add(kind)
    assert table == ranks


def test_verdicts():
    """docs/rules.md has a row for each verdict."""
    text = section(DOCS / "rules.md", "Verdicts")
    assert set(re.findall(r"^\|[ \d]*\| `(\w+)` \|", text, re.MULTILINE)) == set(get_args(Verdict))


def test_functions():
    """docs/rules.md shows how each function is called, in the words of the code; and no others."""
    text = section(DOCS / "rules.md", "Functions")
    first_cells = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    shown = {code for cell in first_cells for code in _CODE.findall(cell)}
    silent = {"age(signal)": "age(x)", "absent(signal, window)": "absent(x, window)"}
    assert {silent.get(usage, usage) for usage in shown} == {function.usage for function in FUNCTIONS.values()}


def test_packs():
    """docs/rules.md has a section for each shipped pack that names each of its rules, and a row for published ones."""
    packs = shipped_packs()
    published = {name for name in packs if name.startswith("published/")}
    assert {code for row in rows(DOCS / "rules.md") for code in _CODE.findall(row[0]) if "published/" in code} == {
        *published,
        "published/...",
    }
    for pack in packs.keys() - published:
        text = packs[pack]
        described = section(DOCS / "rules.md", pack)
        book = load_text(text)
        for rule in (*book.rules, *book.expectations):
            assert rule.name in described, f"{pack}: {rule.name}"


def test_keys_of_rule_files():
    """docs/rules.md has a row for each key of a rule file, or names it in one."""
    schema = FileModel.model_json_schema(by_alias=True)
    models = [schema, *schema.get("$defs", {}).values()]
    keys = {key for model in models for key in model.get("properties", {})}
    assert {"groups", "guard", "for"} <= keys
    shown = {code for row in rows(DOCS / "rules.md") for cell in row for code in _CODE.findall(cell)}
    assert keys - shown == set()


def families() -> set[str]:
    """The metrics of the monitor, by the names that a scrape shows."""
    suffix = {"counter": "_total", "info": "_info"}
    notifier = Notifier([Endpoint("http://127.0.0.1:9093")], "")
    view: dict[str, Any] = {"signals": {"loss": 1.0}, "nonfinite": {"loss": 1}, "received": {"sample": 1}}
    one_run = Still(RunView(run="a", state="driven", rules_sha256="0", last_sample=0.0, **view))
    found = [*build_registry(one_run).collect(), *NotifierCollector(notifier).collect()]
    return {family.name + suffix.get(family.type, "") for family in found}


def test_metrics():
    """docs/operating.md has a row for each metric, and no page names one that does not exist."""
    first_cells = {code for row in rows(DOCS / "operating.md") for code in _CODE.findall(row[0])}
    assert families() - first_cells == set()
    packages = {path.parent.name for path in ROOT.glob("*/*/__init__.py")}
    named = {(name_of(page), name) for page in PAGES for name in _METRIC.findall(page.read_text(encoding="utf-8"))}
    assert {(page, name) for page, name in named if name not in families() | packages} == set()


@pytest.mark.parametrize("name", main.commands)
def test_commands(name):
    """docs/cli.md has a section for each command with an example, and a row for each of its options; and no others."""
    text = section(DOCS / "cli.md", name)
    assert f"trainguard {name}" in text
    first_cells = "\n".join(line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `-"))
    shown = {code.split()[0] for code in re.findall(r"`(--?[a-z][^`]*)`", first_cells)}
    assert shown == {option for parameter in main.commands[name].params for option in visible_names(parameter)}


def exit_codes() -> dict[str, dict[str, str]]:
    """By command and code, as the table of docs/cli.md has them."""
    found: dict[str, dict[str, str]] = {}
    name = ""
    for line in section(DOCS / "cli.md", "Exit codes").splitlines():
        if match := re.match(r"\| (?:`trainguard (\w+)` )?\| (\d*) ?\| (.+) \|$", line):
            name = match[1] or name
            found.setdefault(name, {})[match[2]] = match[3]
    return found


@pytest.mark.parametrize("name", main.commands)
def test_help(name):
    """The help of each command has an example, and the exit codes of docs/cli.md word for word."""
    command = main.commands[name]
    assert f"trainguard {name}" in (command.help or "")
    codes = dict(re.findall(r"^  (?:(\d+) +)?(\S.*)$", command.epilog or "", re.MULTILINE))
    assert codes == exit_codes()[name]


def test_help_of_all():
    """Every command is told of, in one whole sentence."""
    listed = CliRunner().invoke(main, ["--help"]).stdout.split("Commands:\n")[1].split("\n\n")[0]
    assert [line.split()[0] for line in listed.splitlines()] == list(main.commands)
    assert all(line.endswith(".") and not line.endswith("...") for line in listed.splitlines())


def test_environment_and_files_that_are_shown():
    """Every variable of ours that a page names is an option's, or the trainer's; and so is every key of a file."""
    settings = {
        variable: key
        for command in main.commands.values()
        for key, parameter in settable(command).items()
        if isinstance(variable := parameter.envvar, str)
    }
    known = {*settings, "TRAINGUARD_CONFIG", "TRAINGUARD_RUNS"}
    named = {name for page in PAGES for name in re.findall(r"\bTRAINGUARD_[A-Z_]+", page.read_text(encoding="utf-8"))}
    assert named - known == set()
    for block in blocks("toml"):
        if "[build-system]" not in block.text:
            for name, table in tomllib.loads(block.text).items():
                assert table.keys() <= settable(main.commands[name]).keys(), str(block)


# -- what is documented, there is ----------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links(page):
    """Every relative link leads to a file, and to a heading in it. None is broken by the end of a line."""
    broken = []
    for link in _LINK.findall(prose(page)):
        if re.fullmatch(r"https?://\S+", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def defined(tree: ast.AST, name: str) -> ast.AST | None:
    """The class, function or method of this name, dots and all."""
    at: ast.AST | None = tree
    for part in name.split("."):
        body = getattr(at, "body", [])
        at = next((node for node in body if getattr(node, "name", None) == part), None)
    return at


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_places_in_the_code(page):
    """Where a page names a file and something in it, it is there; so is every test that a page names."""
    text = prose(page)
    missing = [
        f"{file} {name}"
        for file, name in _PLACE.findall(text)
        if "/" in file and not defined(ast.parse((ROOT / file).read_text()), name)
    ]
    assert missing == []
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = {code for code in _CODE.findall(text) if re.fullmatch(r"test_\w+", code)}
    assert {name for name in named if f"def {name}(" not in tests} == set()


def visible_names(option: click.Parameter) -> list[str]:
    hidden = isinstance(option, click.Option) and option.hidden
    return [] if hidden else [name for name in (*option.opts, *option.secondary_opts) if name.startswith("-")]


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Everything on any page that begins with ``trainguard`` and a command, with where it stands."""
    for page in PAGES:
        for code in _CODE.findall(prose(page)):
            if code.startswith("trainguard "):
                yield name_of(page), code.split()[1:]
    for block in blocks("console"):
        for line in block.text.splitlines():
            if line.startswith("$ trainguard "):
                yield str(block), line.split()[2:]


def test_command_lines():
    """Every command and option that is shown exists."""
    wrong = []
    for where, (command, *arguments) in command_lines():
        if command in {name for option in main.params for name in visible_names(option)}:
            continue
        if command not in main.commands:
            wrong.append(f"{where}: trainguard {command}")
            continue
        ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
        known = {name for option in main.commands[command].params for name in visible_names(option)}
        wrong += [f"{where}: trainguard {command} {a}" for a in ours if a.startswith("-") and a not in known]
    assert wrong == []


@pytest.mark.parametrize(
    "block", [b for b in blocks("yaml") if "groups:" in b.text and "- alert:" not in b.text], ids=str
)
def test_rule_files(block):
    """Every rule file that is shown loads."""
    assert load_text(block.text, str(block))


def written(tmp_path: Path) -> Path:
    """The rule file and the test file of docs/rules.md, side by side; gives the latter."""
    page = section(DOCS / "rules.md", "Tools for rule writers")
    for _, text in _FENCE.findall(page):
        if text.startswith("groups:"):
            (tmp_path / "my_rules.yaml").write_text(text)
        elif text.startswith("rule_files:"):
            (tmp_path / "my_rules.test.yaml").write_text(text)
    return tmp_path / "my_rules.test.yaml"


def test_the_unit_test_of_rules_passes_and_fails_as_shown(tmp_path, monkeypatch):
    """As it stands all is well; with the change that the page speaks of, the output is the one shown."""
    page = section(DOCS / "rules.md", "test: unit tests of rules")
    file = written(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(main, ["test", file.name])
    assert run.exit_code == 0
    assert run.stdout in page
    file.write_text(file.read_text().replace("20x1", "20x2"))
    run = CliRunner().invoke(main, ["test", file.name])
    assert run.exit_code == 1
    assert run.stdout in page


def test_check_and_explain_print_what_is_shown(tmp_path, monkeypatch):
    """The page has their output word for word."""
    page = section(DOCS / "rules.md", "Tools for rule writers")
    rules = written(tmp_path).with_name("my_rules.yaml")
    monkeypatch.chdir(tmp_path)
    bad = rules.read_text().replace("median(grad_norm", "medan(grad_nrm")
    bad = bad.replace("cooldown: 100 steps", "cooldown: 100")
    Path("bad.yaml").write_text(bad)
    assert CliRunner().invoke(main, ["check", rules.name, "stability"]).stdout in page
    assert CliRunner().invoke(main, ["check", "bad.yaml"]).stderr in page
    explained = CliRunner().invoke(main, ["explain", "GradientFarAboveBaseline", "--rules", rules.name])
    assert explained.exit_code == 0
    assert explained.stdout in page


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_records(block):
    """Every line of telemetry, control or journal that is shown is one."""
    for line in block.text.encode().splitlines():
        assert any(decodes(decode, line) for decode in (decode_telemetry, decode_control, decode_journal)), line


def decodes(decode: Any, line: bytes) -> bool:
    try:
        decode(line)
    except CodecError:
        return False
    return True


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_is_python(block):
    """Every piece of Python that is shown is complete enough to be read as such."""
    ast.parse(block.text)


def test_the_quickstart_saves_itself_with_the_line_for_notebooks(tmp_path):
    """The script with its `with` line replaced by the other one: no monitor process, and a loss that is a number."""
    script, line = (next(b.text for b in blocks("python") if word in b.text) for word in ("import torch", "embedded"))
    begin = next(text for text in script.splitlines(keepends=True) if text.startswith("with Guard("))
    (tmp_path / "train.py").write_text(script.replace(begin, line.splitlines(keepends=True)[0]))
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "train.py"]
    done = subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout.split()[-1]) < 0.2


def test_the_quickstart_works(tmp_path):
    """Its script, run as the page says: one bad value, three actions, and a loss that is a number at the end."""
    script = next(block.text for block in blocks("python") if "import torch" in block.text)
    (tmp_path / "train.py").write_text(script)
    command = [sys.executable, "-m", "trainguard_monitor", "run", "--", sys.executable, "train.py"]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # threads that wait for each other are slow on a busy machine
    done = subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 actions applied" in done.stderr
    losses = [float(line.rpartition(" ")[2]) for line in done.stdout.splitlines()]
    assert len(losses) == 10
    assert losses[-1] < 0.5  # how late a busy machine lets the action land, and how far back it goes, differs
