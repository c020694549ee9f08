"""Where options come from: the command line; else the environment; else a file; else their defaults.

The file is ``trainguard.toml`` in the working directory, or what ``--config`` names, with a table for each command and
the options as keys, spelled as on the command line. The environment has ``TRAINGUARD_<COMMAND>_<OPTION>``. Click does
the rest: what the file says goes into its default map. Everything in the file that is no option is an error, told with
its line, since a setting that is misspelt and passed over is found out too late.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from trainguard_monitor.cli.faults import Fault

FILE = Path("trainguard.toml")
PREFIX = "TRAINGUARD"
_WEAKEST_FIRST = (
    ParameterSource.DEFAULT,
    ParameterSource.DEFAULT_MAP,
    ParameterSource.ENVIRONMENT,
    ParameterSource.COMMANDLINE,
)
_RUNS_DIR = "runs_dir"  # the one argument that may be set


def environment_of(command: str) -> str:
    """What the names of a command's variables begin with."""
    return f"{PREFIX}_{command.upper()}_"


class Configurable(click.Group):
    """A group whose commands take their options from the environment, and from a file by `read_settings`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which somebody meets them, not by the alphabet."""
        return list(self.commands)

    def add_command(self, command: click.Command, name: str | None = None) -> None:
        super().add_command(command, name)
        for key, parameter in settable(command).items():
            parameter.envvar = environment_of(name or command.name or "") + key.upper().replace("-", "_")


def settable(command: click.Command) -> dict[str, click.Parameter]:
    """The options of a command by their keys: ``--log-format`` is ``log-format``."""
    found: dict[str, click.Parameter] = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            found[max(parameter.opts, key=len).lstrip("-")] = parameter
        elif parameter.name == _RUNS_DIR:
            found["runs-dir"] = parameter
    return found


def strength(context: click.Context, name: str) -> int:
    """How strong the source of an option's value is: the stronger of two that exclude each other counts."""
    source = context.get_parameter_source(name)
    return 0 if source is None else _WEAKEST_FIRST.index(source)


def read_settings(path: Path | None, group: click.Group) -> dict[str, dict[str, Any]]:
    """What the file says, as a default map for ``group``. None is `FILE`, which need not be there. Raises `Fault`."""
    file = path or FILE
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        if path is None:
            return {}
        raise Fault(f"{file}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(f"{file}: can't be read: {error}") from None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Fault(_misread(file, str(error))) from None
    reader = _Reader(group)
    settings = {name: dict(reader.table(name, table)) for name, table in tables.items()}
    if reader.problems:
        raise Fault("\n".join(f"{file}:{_line_of(text, *keys)}: {what}" for keys, what in reader.problems))
    return settings


class _Reader:
    """Makes values of tables, and notes what is wrong with them, by the keys that lead there."""

    def __init__(self, group: click.Group) -> None:
        self._commands = group.commands
        self.problems: list[tuple[tuple[str, ...], str]] = []

    def table(self, name: str, table: Any) -> Iterator[tuple[str, Any]]:
        command = self._commands.get(name)
        if command is None:
            self.problems.append(((name,), f"{name}: there is no such command{_hint(name, self._commands)}"))
        elif not isinstance(table, dict):
            self.problems.append(((name,), f"{name}: want a table, [{name}], not {table!r}"))
        else:
            yield from self._values(name, command, table)

    def _values(self, name: str, command: click.Command, table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        known, context = settable(command), click.Context(command)
        for key, value in table.items():
            parameter = known.get(key)
            if parameter is None or parameter.name is None:
                hint = _hint(key, known) if known else f"; {name} has no options"
                self.problems.append(((name, key), f"[{name}] {key}: there is no such option{hint}"))
                continue
            try:
                value = _plain(parameter, value)
                parameter.type_cast_value(context, value)
            except (click.BadParameter, ValueError) as error:
                message = error.message if isinstance(error, click.BadParameter) else error
                self.problems.append(((name, key), f"[{name}] {key}: {message}"))
            else:
                yield parameter.name, value


def _plain(parameter: click.Parameter, value: Any) -> Any:
    """A value of TOML as click takes it. Raises `ValueError` for one of another kind than the option's."""
    if isinstance(parameter, click.Option) and parameter.is_flag:
        if not isinstance(value, bool):
            raise ValueError(f"want true or false, not {value!r}")
        return value
    many = isinstance(parameter, click.Option) and parameter.multiple
    values = value if many and isinstance(value, list) else [value]
    for one in values:
        if isinstance(one, bool) or not isinstance(one, str | int | float):
            raise ValueError(f"want {'a list of texts' if many else 'a text or a number'}, not {value!r}")
    return values if many else value


def _line_of(text: str, name: str, key: str | None = None) -> int:
    """The line where a table begins, or a key of it stands; of what can't be found, the line before it or the first.

    TOML has more ways to write a table than this knows, and the parser does not tell where anything stood.
    """
    header = re.compile(rf"\s*\[\s*[\"']?{re.escape(name)}[\"']?\s*\]|\s*{re.escape(name)}\s*[.=]")
    begin, inside = 1, False
    for number, line in enumerate(text.splitlines(), 1):
        if header.match(line):
            begin, inside = number, True
            if key is None:
                return begin
        elif line.lstrip().startswith("["):
            inside = False
        if inside and key is not None and re.search(rf"(^|[\s.{{,])[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return begin


def _misread(file: Path, message: str) -> str:
    at = re.search(r" \(at line (\d+), column (\d+)\)", message)
    if at is None:
        return f"{file}: not TOML: {message}"
    return f"{file}:{at[1]}:{at[2]}: not TOML: {message.replace(at[0], '')}"


def _hint(word: str, known: Mapping[str, Any]) -> str:
    from trainguard_rules.spelling import did_you_mean

    return did_you_mean(word, known) or f" (there are {', '.join(known)})"
