"""The commands for rules: check, test, replay, schema, explain, pack."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.monitor.helpers import BAD_RULES, RULES, ScriptedTrainer, interventions_of
from tests.support.tools import need_module
from trainguard_monitor.cli import main
from trainguard_monitor.following.driver import Driver
from trainguard_monitor.recorded.replay import Side, replay
from trainguard_rules import RuleBook, load_rules, load_text, shipped_packs
from trainguard_rules.actions import ACTIONS
from trainguard_rules.rulefile.schema_export import rule_file_schema
from trainguard_rules.rulefile.source import read_document
from trainguard_wire import Approval, Decision, RunDirectory

TEST = """\
rule_files: [rules.yaml, stability]
tests:
  - name: an explosion halves the learning rate
    input_series: {grad_norm: "1x9 50 1x9"}
    expect:
      - step: 11
        actions: {GradientExplosion: [{scale_lr: {factor: 0.5}}]}
  - name: a quiet run
    input_series: {grad_norm: "1x9"}
    expect: [{step: end, interventions: 0}]
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


def data(*arguments: object) -> dict:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


# -- check -------------------------------------------------------------------------------------------------


def test_check_counts_what_is_right(rules_file: Path) -> None:
    """One line a file; packs by name."""
    result = run("check", rules_file, "seed_guards")
    assert result.exit_code == 0
    assert result.stdout == f"{rules_file}: 1 guard, 0 expectations, ok\nseed_guards: 6 guards, 0 expectations, ok\n"


def test_check_reports_every_problem_of_every_file(rules_file: Path, tmp_path: Path) -> None:
    """All of them on standard error; a file that is right is still said to be."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(BAD_RULES)
    result = run("check", bad, rules_file, tmp_path / "none.yaml", "stabilty")
    assert result.exit_code == 1
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == [
        f"{bad}:5:15",
        f"{bad}:6:9",
        f"{tmp_path / 'none.yaml'}:1:1",
        "stabilty:1:1",
    ]
    assert "did you mean 'stability'?" in result.stderr
    assert result.stdout == f"{rules_file}: 1 guard, 0 expectations, ok\n"


def test_check_as_json(rules_file: Path, tmp_path: Path) -> None:
    """For editors and CI."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(BAD_RULES)
    result = run("check", "--json", bad, rules_file)
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["ok"] is False
    assert found["files"][0]["problems"][0]["line"] == 5
    assert found["files"][1] == {"file": str(rules_file), "problems": [], "guards": 1, "expectations": 0}


# -- test --------------------------------------------------------------------------------------------------


def test_tests_that_pass(rules_file: Path, tmp_path: Path) -> None:
    """Rule files are looked for beside the test file, packs by name."""
    (tmp_path / "a.test.yaml").write_text(TEST)
    result = run("test", tmp_path / "a.test.yaml", tmp_path / "a.test.yaml")
    assert (result.exit_code, result.stdout) == (0, "4 tests, 0 failed\n")


def test_a_test_that_fails(rules_file: Path, tmp_path: Path) -> None:
    """Where, what was expected, what came; exit code 1."""
    (tmp_path / "a.test.yaml").write_text(TEST.replace("0.5", "0.25"))
    result = run("test", tmp_path / "a.test.yaml")
    assert result.exit_code == 1
    assert result.stdout == (
        f'{tmp_path}/a.test.yaml:7:19: test "an explosion halves the learning rate", step 11: '
        "GradientExplosion: actions\n"
        "    expected:  scale_lr(factor=0.25)\n"
        "    got:       scale_lr(factor=0.5, min=0)\n"
        "    value:     50\n"
        "    history:   step 11 inactive -> firing\n"
        "2 tests, 1 failed\n"
    )


def test_test_files_that_are_no_good(rules_file: Path, tmp_path: Path) -> None:
    """Problems of all files, of their rule files too; nothing is run, exit code 2."""
    (tmp_path / "a.test.yaml").write_text(TEST.replace("GradientExplosion", "Explosion"))
    (tmp_path / "b.test.yaml").write_text(TEST.replace("rules.yaml", "nope.yaml").replace("stability", "stabilty"))
    result = run("test", tmp_path / "a.test.yaml", tmp_path / "b.test.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "a.test.yaml:7:19: " in result.stderr
    assert f"{tmp_path}/nope.yaml:1:1: can't be read" in result.stderr
    assert "stabilty:1:1: no such file, and no shipped pack" in result.stderr
    assert run("test", tmp_path / "none.yaml").exit_code == 2


# -- replay ------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(trainer: ScriptedTrainer, book: RuleBook) -> RunDirectory:
    """A run with two explosions, of 50 at step 6 and 15 at step 20, the first within a monitor's hands."""
    driver = Driver(trainer.run, book, clock=lambda: 1.0)
    trainer.samples(5)
    trainer.sample(loss=1.0, grad_norm=50.0)
    driver.drain(0.0)
    (intervention,) = interventions_of(trainer.run)
    trainer.samples(1)
    trainer.apply(intervention)
    trainer.samples(12)
    trainer.sample(loss=1.0, grad_norm=15.0)
    driver.drain(0.0)
    trainer.samples(10)
    trainer.goodbye()
    driver.drain(0.0)
    driver.close()
    return trainer.run


def test_replay_under_the_same_rules_is_what_happened(recorded: RunDirectory, rules_file: Path) -> None:
    """In mode act the fold gives the very same decisions."""
    found = data("replay", recorded.path, "--rules", rules_file, "--mode", "act", "--json")
    assert found["same_rules"] is True
    assert found["counts"]["replayed"] == found["counts"]["recorded"] == {"GradientExplosion": {"fired": 2, "act": 2}}
    assert [d["step"] for d in found["decisions"]] == [6, 20]
    assert all(d["replayed"] == d["recorded"] for d in found["decisions"])
    [then] = found["decisions"][0]["recorded"]
    params = {"factor": 0.5, "min": 0.0}
    assert then["actions"] == [
        {"id": "GradientExplosion.0.6.0", "kind": "scale_lr", "params": params, "outcome": "applied"}
    ]


def test_replay_under_other_rules(recorded: RunDirectory, tmp_path: Path) -> None:
    """A higher threshold misses the second; in mode observe nothing is in flight."""
    other = tmp_path / "other.yaml"
    other.write_text(RULES.replace("> 10", "> 20"))
    found = data("replay", recorded.path, "--rules", other, "--json")
    assert found["mode"] == "observe"
    assert found["same_rules"] is False
    assert found["counts"]["replayed"] == {"GradientExplosion": {"fired": 1, "observe": 1}}
    assert [(d["step"], len(d["replayed"]), len(d["recorded"])) for d in found["decisions"]] == [(6, 1, 1), (20, 0, 1)]
    assert "as it really went" in found["note"]


def test_replay_knows_the_rules_of_a_run_that_was_only_observed(
    trainer: ScriptedTrainer, book: RuleBook, rules_file: Path
) -> None:
    """The same texts are the same rules, in whatever mode they judged."""
    driver = Driver(trainer.run, book.with_mode("observe"))
    trainer.sample(loss=1.0, grad_norm=50.0)
    driver.drain(0.0)
    driver.close()
    found = data("replay", trainer.run.path, "--rules", rules_file, "--json")
    assert found["same_rules"] is True
    assert found["decisions"][0]["replayed"] == found["decisions"][0]["recorded"]


def test_replay_for_people(recorded: RunDirectory, rules_file: Path) -> None:
    """A table, counts and the note; no bar where there is no terminal."""
    result = run("replay", recorded.path, "--rules", rules_file)
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == f"a: 33 records to step 30, recorded under {rules_file} (these very rules)"
    assert lines[1] == f"replayed under {rules_file} in mode observe"
    assert "step rule these rules decide what was done then" in lines
    assert "6 GradientExplosion observe: scale_lr act: scale_lr (applied)" in lines
    assert "20 GradientExplosion observe: scale_lr act: scale_lr (lost)" in lines
    assert "GradientExplosion fired 2, observe 2 fired 2, act 2" in lines
    assert lines[-2].startswith("The telemetry shows the run as it really went")


def test_replay_of_a_run_without_a_monitor(trainer: ScriptedTrainer, rules_file: Path) -> None:
    """Telemetry alone is enough; lines that can't be read are counted."""
    trainer.samples(3)
    trainer.writer.append_lines(b"garbage\n")
    trainer.sample(loss=1.0, grad_norm=50.0)
    result = run("replay", trainer.run.path, "--rules", rules_file)
    assert "5 records to step 4, 1 line that can't be read, recorded without a monitor" in result.stdout
    assert "observe: scale_lr" in result.stdout


def test_replay_knows_interventions_whose_journal_is_lost(recorded: RunDirectory, rules_file: Path) -> None:
    """Control tells as much as that they were made."""
    for segment in recorded.journal.iterdir():
        segment.unlink()
    found = data("replay", recorded.path, "--rules", rules_file, "--json")
    assert found["counts"]["recorded"] == {"GradientExplosion": {"fired": 0, "act": 2}}
    assert found["decisions"][0]["recorded"][0]["actions"][0]["kind"] == "scale_lr"


def test_replay_takes_in_what_a_person_answered(trainer: ScriptedTrainer) -> None:
    """An approval is an input of the fold, at its place among the telemetry."""
    book = load_text(RULES.replace("groups:", "mode: approve\ngroups:"))
    trainer.samples(3)
    trainer.sample(loss=1.0, grad_norm=50.0)
    trainer.samples(5, loss=1.0, grad_norm=50.0)
    journal = trainer.run.write_journal()
    journal.append(
        Approval(intervention="GradientExplosion.0.4", approved=True, by="ada", time=1.0, after_record=6)
    )  # record 6 is step 5
    journal.close()
    found = replay(trainer.run, book, "act").as_dict()
    verdicts = [(d["step"], r["verdict"], r["reason"]) for d in found["decisions"] for r in d["replayed"]]
    assert verdicts[:2] == [
        (4, "await_approval", "mode is approve: waiting for a person"),
        (5, "act", "approved by ada"),
    ]


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_replay_of_what_is_no_run(recorded: RunDirectory, as_json: list[str], tmp_path: Path) -> None:
    """Said clearly, with the runs there are; exit code 2."""
    result = run("replay", recorded.path.parent, *as_json)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "not a run directory: it has no run.json; the runs in it are a" in result.stderr
    assert "no such directory" in run("replay", tmp_path / "none").stderr
    assert run("replay", tmp_path / "none").exit_code == 2
    assert run("replay", recorded.path, "--rules", "stabilty").exit_code == 2


def test_replay_keeps_a_bounded_number_of_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows end where one side is no longer complete; the counts go on."""
    monkeypatch.setattr("trainguard_monitor.recorded.replay.KEPT", 3)
    side = Side()
    side.note(
        Decision(step=step, generation=0, time=0.0, rule="R", verdict="observe", reason="") for step in range(1, 11)
    )
    assert [key[1] for key in side.by_key()] == [1, 2, 3]
    assert (side.omitted, side.counts()) == (7, {"R": {"fired": 0, "observe": 10}})


def test_replay_shows_how_far_it_is(recorded: RunDirectory, book: RuleBook) -> None:
    """The bytes told add up to those there are."""
    told: list[int] = []
    replay(recorded, book, "observe", told.append)
    assert sum(told) == sum(file.stat().st_size for file in recorded.telemetry.iterdir())


# -- schema ------------------------------------------------------------------------------------------------


def test_the_schema_knows_every_action_and_describes_every_key() -> None:
    """An editor has something to say of whatever the cursor is on."""
    schema = rule_file_schema()
    defs = schema["$defs"]
    assert set(defs["Action"]["properties"]) == set(ACTIONS)
    assert (defs["Action"]["minProperties"], defs["Action"]["maxProperties"]) == (1, 1)
    for name in ("Guard", "Expect", "Group", "Checkpoints", "Verify"):
        model = defs[f"{name}Model"]
        assert model["additionalProperties"] is False
        assert [key for key, value in model["properties"].items() if not value.get("description")] == []
    assert [key for key, value in schema["properties"].items() if not value.get("description")] == []
    assert schema["additionalProperties"] is False
    assert defs["GuardModel"]["properties"]["for"]["default"] == "0 steps"


def test_the_schema_takes_what_the_loader_takes() -> None:
    """Every shipped pack is valid by it, and what the loader refuses for its form is not."""
    jsonschema = need_module("jsonschema")
    schema = json.loads(run("schema").stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for name, text in shipped_packs().items():
        assert list(validator.iter_errors(read_document(text, name).data)) == [], name
    for old, new in [
        ("expr:", "exrp:"),
        ("{factor: 0.5}", "{facter: 0.5}"),
        ("scale_lr", "scale_rl"),
        ("{factor: 0.5}", "{factor: 0}"),
        ("cooldown: 5 steps", "cooldown: 5"),
        ("cooldown: 5 steps", "cooldown: 5 stepps"),
        ("cooldown: 5 steps", "expires: 5 epochs"),
        ("cooldown: 5 steps", "limit: 0"),
        ("cooldown: 5 steps", "limit: 2 per minute"),
        ("cooldown: 5 steps", "mode: obey"),
        ("GradientExplosion", "9Explosion"),
        ("groups:", "group:"),
    ]:
        changed = read_document(RULES.replace(old, new), "t").data
        assert list(validator.iter_errors(changed)), new
    for new in (
        "limit: 4 per 1000 steps",
        "limit: 3",
        "limit: 2 per 1h30m",
        "for: 30s",
        "expires: 1 step",
        "mode: act",
    ):
        changed = read_document(RULES.replace("cooldown: 5 steps", new), "t").data
        assert list(validator.iter_errors(changed)) == [], new


# -- explain -----------------------------------------------------------------------------------------------


def test_explain_looks_through_all_packs() -> None:
    """By default; and in the files that are named."""
    result = run("explain", "SeedLossSpike")
    assert result.exit_code == 0
    assert result.stdout.startswith("SeedLossSpike: a guard of seed_guards, group seed_guards\n")


def test_explain_a_rule_of_ones_own(rules_file: Path) -> None:
    """With what it may do at most."""
    result = run("explain", "GradientExplosion", "--rules", rules_file)
    assert "In words: grad_norm is above 10." in result.stdout
    assert "There is no floor under the learning rate: the action has no 'min'." in result.stdout


def test_explain_what_is_not_there(rules_file: Path, tmp_path: Path) -> None:
    """A suggestion where one is near, else the names there are; exit code 2."""
    result = run("explain", "SeedLosSpike")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean 'SeedLossSpike'?" in result.stderr
    assert "(there are GradientExplosion)" in run("explain", "X", "--rules", rules_file).stderr
    (tmp_path / "bad.yaml").write_text(BAD_RULES)
    assert "bad.yaml:5:" in run("explain", "X", "--rules", tmp_path / "bad.yaml").stderr


# -- pack --------------------------------------------------------------------------------------------------


def test_pack_prints_a_file_that_is_the_pack(tmp_path: Path) -> None:
    """Byte for byte, so it is the same rules."""
    for name in ("stability", "published/zclip"):
        (tmp_path / "mine.yaml").write_text(run("pack", name).stdout)
        assert load_rules([tmp_path / "mine.yaml"]).sha256 == load_rules([name]).sha256


def test_pack_lists_what_there_is() -> None:
    """Each on a line, with what it is; a name that is none gets a suggestion, and exit code 2."""
    lines = run("pack").stdout.splitlines()
    assert [line.partition(": ")[0] for line in lines] == list(shipped_packs())
    assert "stability: safe to switch on by default." in lines
    wrong = run("pack", "stabilty")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "no shipped pack 'stabilty'; did you mean 'stability'?" in wrong.stderr


# -- all of them -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "test", "replay", "schema", "explain", "pack"])
def test_help_is_quick_and_tells_the_exit_codes(command: str) -> None:
    """Neither rules nor rich nor torch are loaded for it."""
    script = (
        "import sys; from trainguard_monitor.cli import main\n"
        f"main([{command!r}, '--help'], standalone_mode=False)\n"
        "assert not {'torch', 'pydantic', 'rich', 'trainguard_rules', 'uvicorn'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Exit codes:" in done.stdout


def test_the_packs_are_checked_by_the_command_they_are_checked_with() -> None:
    """Every shipped pack is right."""
    assert run("check", *shipped_packs()).exit_code == 0
    assert load_rules(["stability"]).rules
