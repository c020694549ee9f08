"""The settings: the document's defaults, three ways in, one way of being checked."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainguard.recipes import ConfigError, LargeLRConfig
from trainguard.recipes.fields import FIELDS

# "Default Hyperparameters" of the document, and its "Configuration Flag".
DOCUMENT = {
    "enabled": True,
    "base_lr": 0.3,
    "min_lr": 1e-5,
    "warmup_epochs": 5,
    "warmup_start_lr": 0.01,
    "decay_type": "cosine",
    "decay_epochs": (30, 60, 90),
    "decay_factor": 0.1,
    "total_epochs": 100,
    "lr_grid": (0.01, 0.03, 0.1, 0.3, 0.5, 0.8, 1.0),
    "weight_decay": 5e-4,
    "gradient_clip": 1.0,
    "sparsity_threshold": 0.1,
    "confidence_threshold": 0.9,
    "track_sparsity": True,
    "track_confidence": True,
}
OTHER: dict[str, Any] = {
    "enabled": False,
    "base_lr": 0.5,
    "min_lr": 0.001,
    "warmup_epochs": 10,
    "warmup_start_lr": 0.02,
    "decay_type": "step",
    "decay_epochs": (20, 40),
    "decay_factor": 0.5,
    "total_epochs": 60,
    "lr_grid": (0.1, 0.2),
    "weight_decay": 0.01,
    "gradient_clip": 2.0,
    "sparsity_threshold": 0.05,
    "confidence_threshold": 0.8,
    "track_sparsity": False,
    "track_confidence": False,
}
# One bad value a setting: as a keyword or in a file, and as the text of a variable.
BAD: list[tuple[str, Any, str, str]] = [
    ("enabled", 1, "maybe", "true or false"),
    ("base_lr", 0.0, "fast", "a number above 0"),
    ("min_lr", float("nan"), "nan", "a number of at least 0"),
    ("warmup_epochs", 2.5, "2.5", "a whole number of at least 0"),
    ("warmup_start_lr", -0.1, "-0.1", "a number of at least 0"),
    ("decay_type", "linear", "linear", "cosine, step, exponential or constant"),
    ("decay_epochs", [60, 30], "60,30", "increasing whole numbers of at least 1"),
    ("decay_factor", 1.5, "1.5", "a number above 0 and below 1"),
    ("total_epochs", True, "", "a whole number of at least 1"),
    ("lr_grid", [], "0.1;0.2", "increasing numbers above 0"),
    ("weight_decay", "much", "much", "a number of at least 0"),
    ("gradient_clip", float("inf"), "inf", "a number above 0"),
    ("sparsity_threshold", None, "none", "a number above 0"),
    ("confidence_threshold", 1, "1", "a number above 0 and below 1"),
    ("track_sparsity", "yes", "2", "true or false"),
    ("track_confidence", 0.0, "0.0", "true or false"),
]
VARIABLES = {field.name: field.variable for field in FIELDS}
CLASHES = [
    ({"min_lr": 0.5}, "min_lr is 0.5, wanted at most base_lr, which is 0.3"),
    ({"base_lr": 0.005}, "warmup_start_lr is 0.01, wanted at most base_lr, which is 0.005"),
    ({"total_epochs": 5}, "total_epochs is 5, wanted more than warmup_epochs, which is 5"),
    (
        {"decay_type": "step", "warmup_epochs": 30},
        "decay_epochs is (30, 60, 90), wanted only epochs after warmup_epochs, which is 30",
    ),
]


def environment(values: dict[str, Any]) -> dict[str, str]:
    def text(value: Any) -> str:
        return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)

    return {VARIABLES[name]: text(value) for name, value in values.items()}


def toml(values: dict[str, Any]) -> str:
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items())


def test_defaults_are_the_documents() -> None:
    """Each setting and no other; each can come from the environment."""
    assert asdict(LargeLRConfig()) == DOCUMENT
    assert [field.name for field in FIELDS] == [field.name for field in fields(LargeLRConfig)]


def test_every_setting_comes_in_by_every_way(tmp_path: Path) -> None:
    """By keyword, from TOML, from JSON and from the environment: the same config."""
    config = LargeLRConfig(**OTHER)
    (tmp_path / "recipe.toml").write_text(toml(OTHER))
    (tmp_path / "recipe.json").write_text(json.dumps(OTHER))
    assert asdict(config) == OTHER
    assert LargeLRConfig.from_file(tmp_path / "recipe.toml") == config
    assert LargeLRConfig.from_file(str(tmp_path / "recipe.json")) == config
    assert LargeLRConfig.from_environment(environment(OTHER)) == config


def test_plain_types_whatever_came_in() -> None:
    """numpy's numbers, whole numbers where fractions may be, lists: a config can be stored as JSON, and compared."""
    config = LargeLRConfig(base_lr=np.float32(0.5), total_epochs=np.int64(50), gradient_clip=2, lr_grid=[1, 2])
    assert config == LargeLRConfig(base_lr=0.5, total_epochs=50, gradient_clip=2.0, lr_grid=(1.0, 2.0))
    assert type(config.base_lr) is float
    assert LargeLRConfig(**json.loads(json.dumps(asdict(config)))) == config


def test_the_documents_flags_are_read_from_files(tmp_path: Path) -> None:
    """``backend/config.py`` of the document, as a file."""
    flags = {
        "use_large_lr": True,
        "large_lr_base": 0.5,
        "large_lr_min": 1e-4,
        "large_lr_warmup_epochs": 3,
        "large_lr_warmup_start": 0.02,
        "large_lr_decay_type": "exponential",
        "large_lr_weight_decay": 1e-3,
        "large_lr_gradient_clip": 0.5,
        "large_lr_track_sparsity": False,
        "large_lr_track_confidence": False,
    }
    (tmp_path / "recipe.toml").write_text(toml(flags))
    config = LargeLRConfig.from_file(tmp_path / "recipe.toml")
    assert {field.flag: getattr(config, field.name) for field in FIELDS if field.flag} == flags


def test_the_documents_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its three lines of shell, from the real environment."""
    for name, value in {"ENABLED": "true", "BASE": "0.5", "WARMUP": "10"}.items():
        monkeypatch.setenv(f"LARGE_LR_{name}", value)
    assert LargeLRConfig.from_environment() == LargeLRConfig(base_lr=0.5, warmup_epochs=10)


@pytest.mark.parametrize(("yes", "no"), [("true", "false"), ("TRUE", "False"), (" yes ", "no"), ("on", "off"), "10"])
def test_switches_are_read_as_people_write_them(yes: str, no: str) -> None:
    """In any case, with blanks around."""
    assert LargeLRConfig.from_environment({"LARGE_LR_ENABLED": yes}).enabled
    assert not LargeLRConfig.from_environment({"LARGE_LR_ENABLED": no}).enabled


def test_the_environment_over_another_config() -> None:
    """Only what is set changes."""
    mine = LargeLRConfig(total_epochs=40, base_lr=0.2)
    assert LargeLRConfig.from_environment({"LARGE_LR_BASE": "0.1"}, over=mine) == replace(mine, base_lr=0.1)
    assert LargeLRConfig.from_environment({}, over=mine) == mine


@pytest.mark.parametrize(("name", "value", "text", "wanted"), BAD, ids=[row[0] for row in BAD])
def test_a_bad_value_is_named_with_what_is_wanted(
    name: str, value: Any, text: str, wanted: str, tmp_path: Path
) -> None:
    """By keyword, from a file, from the environment: under the name by which it came."""
    with pytest.raises(ConfigError) as error:
        LargeLRConfig(**{name: value})
    assert error.value.problems == (f"{name} is {value!r}, wanted {wanted}",)
    assert str(error.value) == error.value.problems[0]

    file = tmp_path / "recipe.json"
    file.write_text(json.dumps({name: value}))
    with pytest.raises(ConfigError) as error:
        LargeLRConfig.from_file(file)
    assert error.value.problems == (f"{file}: {name} is {value!r}, wanted {wanted}",)

    with pytest.raises(ConfigError) as error:
        LargeLRConfig.from_environment({VARIABLES[name]: text})
    [problem] = error.value.problems
    assert problem.startswith(f"{VARIABLES[name]} is ")
    assert problem.endswith(f", wanted {wanted}")


def test_every_setting_is_in_the_table_of_bad_values() -> None:
    """So that none goes unchecked."""
    assert [row[0] for row in BAD] == [field.name for field in FIELDS]


@pytest.mark.parametrize(("values", "problem"), CLASHES)
def test_values_that_do_not_go_together(values: dict[str, Any], problem: str) -> None:
    """Each fine alone."""
    with pytest.raises(ConfigError) as error:
        LargeLRConfig(**values)
    assert error.value.problems == (problem,)


def test_a_clash_names_what_was_set() -> None:
    """The variable, and the field that nobody set."""
    with pytest.raises(ConfigError) as error:
        LargeLRConfig.from_environment({"LARGE_LR_MIN": "0.5", "LARGE_LR_WARMUP": "200"})
    assert error.value.problems == (
        "LARGE_LR_MIN is 0.5, wanted at most base_lr, which is 0.3",
        "total_epochs is 100, wanted more than LARGE_LR_WARMUP, which is 200",
    )


def test_what_is_not_in_use_does_not_clash() -> None:
    """Milestones without the step decay, a start without a warm-up."""
    assert LargeLRConfig(warmup_epochs=40).decay_epochs == (30, 60, 90)
    assert LargeLRConfig(base_lr=0.005, warmup_epochs=0).warmup_start_lr == 0.01


def test_all_problems_at_once() -> None:
    """Unknown names, bad values and clashes; what is no value clashes with nothing."""
    bad = {"LARGE_LR_BSAE": "1", "LARGE_LR_BASE": "big", "LARGE_LR_MIN": "0.5", "LARGE_LR_TOTAL_EPOCHS": "3"}
    with pytest.raises(ConfigError) as error:
        LargeLRConfig.from_environment(bad)
    assert str(error.value).splitlines() == [
        "3 problems with the large-learning-rate settings:",
        "  LARGE_LR_BSAE is no setting; did you mean LARGE_LR_BASE?",
        "  LARGE_LR_BASE is 'big', wanted a number above 0",
        "  LARGE_LR_TOTAL_EPOCHS is 3, wanted more than warmup_epochs, which is 5",
    ]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.toml", "base_rl = 1", "base_rl is no setting; did you mean base_lr?"),
        ("a.toml", "zz = 1", "zz is no setting, wanted one of base_lr, "),
        ("a.toml", "base_lr = 1\nlarge_lr_base = 2", "large_lr_base and base_lr are one setting, wanted one of them"),
        ("a.toml", "base_lr = ,", "line 1, column 11"),
        ("a.json", "{", "line 1 column 2"),
        ("a.json", "[1]", "a.json holds a list, wanted a table of settings"),
        ("a.yaml", "", "a.yaml is a .yaml file, wanted .toml or .json"),
        ("a", "", "wanted .toml or .json"),
    ],
)
def test_a_file_that_is_none(name: str, text: str, problem: str, tmp_path: Path) -> None:
    """Every message names the file."""
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        LargeLRConfig.from_file(file)
    [found] = error.value.problems
    assert found.startswith(str(file))
    assert problem in found


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The system's own error, which names it."""
    with pytest.raises(FileNotFoundError, match=r"recipe\.toml"):
        LargeLRConfig.from_file(tmp_path / "recipe.toml")
