"""The rooms and the doors between them, as docs/architecture.md draws them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"trainguard_wire", "trainguard_rules", "trainguard", "trainguard_monitor"}

# room: (package, what of ours it may import, what else it may import)
ROOMS = {
    "wire": ("trainguard_wire", set(), {"msgspec"}),
    "rules": ("trainguard_rules", {"trainguard_wire"}, {"pydantic", "ruamel"}),
    "trainer": ("trainguard", {"trainguard_wire"}, {"torch", "numpy", "sklearn"}),
    "monitor": (
        "trainguard_monitor",
        {"trainguard_wire", "trainguard_rules"},
        {"click", "jinja2", "matplotlib", "msgspec", "prometheus_client", "rich", "starlette", "uvicorn", "watchdog"},
    ),
}
# The rules judge, they do not touch: nothing in there may read a clock, start a thread, open a socket or log.
IMPURE = {
    "time",
    "datetime",
    "threading",
    "multiprocessing",
    "socket",
    "subprocess",
    "asyncio",
    "logging",
    "random",
    "os",
}
LONGEST_FILE = 320
# Modules that are imported only when somebody asks for them: the one of the trainer that judges, and the callbacks.
ON_REQUEST = {
    "trainer/trainguard/exchange/embedded.py": {"trainguard_rules"},
    "trainer/trainguard/integrations/lightning.py": {"lightning"},
    "trainer/trainguard/integrations/transformers.py": {"transformers"},
}


def sources(room: str) -> list[Path]:
    found = sorted((ROOT / room).rglob("*.py"))
    assert found
    return found


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a file imports, type-checking imports included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.lineno, node.module or ""


@pytest.mark.parametrize("room", ROOMS)
def test_imports_between_rooms(room):
    """One direction: wire knows nobody, the trainer does not judge, the monitor does not know torch."""
    package, ours, others = ROOMS[room]
    allowed = {package} | ours | others | set(sys.stdlib_module_names)
    offences = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sources(room)
        for line, name in imports(path)
        if name.partition(".")[0] not in allowed | ON_REQUEST.get(str(path.relative_to(ROOT)), set())
    ]
    assert offences == []


def test_every_package_of_ours_is_in_a_room():
    """A new package needs a room, and a line in the table above."""
    found = {
        path.parent.name
        for path in ROOT.glob("*/*/__init__.py")
        if path.parent.parent.name not in ("tests", "benchmarks")
    }
    assert found == OURS


def test_rules_are_pure():
    """No clock, thread, socket, logger or randomness; files in the loader only."""
    offences = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sources("rules")
        for line, name in imports(path)
        if name.partition(".")[0] in IMPURE
    ]
    readers = {path.name for path in sources("rules") if "read_text" in path.read_text() or "open(" in path.read_text()}
    assert offences == []
    assert readers == {"load.py"}


def test_the_monitor_imports_no_torch():
    """Neither the package nor its commands load torch, or the trainer, by any detour."""
    code = (
        "import sys, importlib, pkgutil, trainguard_monitor, trainguard_rules\n"
        "for package in (trainguard_monitor, trainguard_rules):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not module.name.endswith(('__main__', '.picture')): importlib.import_module(module.name)\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'trainguard', 'numpy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_stay_readable():
    """A file that outgrows this is two files."""
    long = {
        str(path.relative_to(ROOT)): lines
        for room in ROOMS
        for path in sources(room)
        if (lines := len(path.read_text().splitlines())) > LONGEST_FILE
    }
    assert long == {}


def test_no_test_file_is_a_library():
    """What several of them need stands beside them, in a module without tests."""
    offences = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sources("tests")
        for line, name in imports(path)
        if name.startswith("tests.") and ".test_" in name
    ]
    assert offences == []
