"""``trainguard report``: one HTML file with all of a run in it, and nothing from outside."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.monitor.conftest import NewTrainer
from tests.monitor.helpers import BAD_RULES, ScriptedTrainer, interventions_of
from trainguard_monitor.cli import main
from trainguard_monitor.following.driver import Driver
from trainguard_rules import load_rules, load_text

VOID = {"meta", "br"}
IMPLIED = {"tr", "td", "th", "dt", "dd"}  # HTML closes these by itself
RULES = """\
groups:
  - name: stability
    rules:
      - guard: GradientExplosion
        expr: grad_norm > 10
        actions: [{scale_lr: {factor: 0.5}}]
        cooldown: 5 steps
        verify: {expr: grad_norm < 5, within: 5 steps, otherwise: revert}
        annotations: {summary: "<script>alert(1)</script> at step {step}"}
"""


class Page(HTMLParser):
    """What a browser would make of it: elements, attributes and text; fails where elements are not nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID | IMPLIED:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in IMPLIED:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def said(self) -> str:
        return re.sub(r"\s+", " ", self.text)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "my_rules.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture
def recorded(new_trainer: NewTrainer, rules: Path) -> ScriptedTrainer:
    """A run with a fault that was answered, a value that was no number, checkpoints, and another process after it."""
    trainer = new_trainer("a<b>&c")
    trainer.hello()
    driver = Driver(trainer.run, load_rules([str(rules)]))
    trainer.checkpoint()
    trainer.samples(60)
    trainer.sample(loss=float("nan"), grad_norm=50.0)
    driver.drain(0.0)
    trainer.apply(interventions_of(trainer.run)[0])
    trainer.samples(10)
    trainer.generation = 1
    trainer.hello()
    trainer.samples(10, loss=1.0, mine=2.0)
    trainer.goodbye()
    driver.drain(0.0)
    driver.close()
    return trainer


def report(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)], catch_exceptions=False)


def page_of(trainer: ScriptedTrainer, *arguments: object) -> Page:
    result = report(trainer.run.path, "-o", "-", *arguments)
    assert result.exit_code == 0, result.stderr
    page = Page(result.stdout)
    assert page.open == []
    return page


def test_the_story(recorded: ScriptedTrainer) -> None:
    """What happened, what was done with the values before and after, and whether it helped."""
    said = page_of(recorded).said()
    assert "81 steps in 1 min 21 s, in 2 training processes; the training finished." in said
    assert "A rule fired 1 time, in 1 incident. There was 1 intervention; of 1 on trial 1 helped." in said
    assert re.search(r"1 · steps 61 to \d+ · GradientExplosion", said)
    assert re.search(r"scale_lr by 0\.5 ?applied ?61 ?1 ?0\.5", said)
    assert "It helped (step 62): grad_norm < 5" in said
    assert "1 checkpoint, 1 found good, 0 on disk" in said
    assert "GradientExplosion: a guard of" in said
    assert "finished, 2023-11-14" in said


def test_requests_that_nobody_answered(trainer: ScriptedTrainer) -> None:
    """One, with how often a person was asked; that none answered is nothing bad."""
    asking = RULES.replace("expr: grad_norm > 10", "expr: grad_norm > 10\n        mode: approve")
    driver = Driver(trainer.run, load_text(asking))
    for steps, norm, came_of_it in ((230, 50.0, "waiting"), (2, 1.0, "withdrawn: the incident is over")):
        trainer.samples(steps, grad_norm=norm)
        driver.drain(0.0)
        page = page_of(trainer)
        assert "GradientExplosion asked a person 3 times, last at step 203" in page.said()
        assert page.said().count("asked a person") == 1
        assert re.search(rf"before ?after ?scale_lr by 0\.5 ?{came_of_it}", page.said())
        assert not any(cell.get("class") == "bad" for cell in page.all("td"))
    driver.close()


def test_rules_that_only_observed(trainer: ScriptedTrainer, rules: Path) -> None:
    """Their texts are found, in the mode that the monitor gave them; of files that are named, too."""
    driver = Driver(trainer.run, load_rules([str(rules)]).with_mode("observe"))
    trainer.samples(60)
    trainer.sample(loss=1.0, grad_norm=50.0)
    driver.drain(0.0)
    driver.close()
    for arguments in ((), ("--rules", rules)):
        said = page_of(trainer, *arguments).said()
        assert "GradientExplosion would have acted: scale_lr by 0.5" in said
        assert "Nothing, in mode observe: it reports that it would have done this:" in said
        assert f"{rules} mode observe" in said
        assert "not the texts" not in said


def test_charts(recorded: ScriptedTrainer) -> None:
    """Each signal has one, told in words as well; marks lead to their incidents, which are there."""
    page = page_of(recorded)
    labels = [str(svg["aria-label"]) for svg in page.all("svg")]
    assert [label.split()[0] for label in labels] == ["loss", "grad_norm", "mine"]
    assert "greatest 50 (step 61)" in labels[1]
    assert labels[0].endswith("NaN at step 61")
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = {str(a["href"]) for a in page.all("a")}
    assert "#incident-1" in links
    assert {link.removeprefix("#") for link in links} <= ids


def test_nothing_from_outside(recorded: ScriptedTrainer) -> None:
    """No script, no image, no address: the file is all there is."""
    text = report(recorded.run.path, "-o", "-").stdout
    page = Page(text)
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "img", "iframe", "object", "base", "form"})
    assert not re.search(r"https?://|url\(|@import", text)
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)
    [policy] = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_what_others_wrote_is_text(recorded: ScriptedTrainer) -> None:
    """The name of the run, annotations, reasons: shown as they are."""
    text = report(recorded.run.path, "-o", "-").stdout
    assert "<script" not in text
    said = Page(text).said()
    assert "<script>alert(1)</script> at step 61" in said
    assert "a<b>&c" in said


def test_rules_whose_text_is_gone(recorded: ScriptedTrainer, rules: Path, tmp_path: Path) -> None:
    """What came of them is told all the same; a text that is another one is not taken for theirs."""
    rules.write_text(RULES.replace("> 10", "> 20"))
    said = page_of(recorded).said()
    assert "whose text as of then is not there any more" in said
    assert "GradientExplosion" in said
    assert "grad_norm > 20" not in said
    other = page_of(recorded, "--rules", rules).said()
    assert "These are not the texts that the run was judged by." in other
    assert "grad_norm > 20" in other
    rules.unlink()
    assert "whose text as of then is not there any more" in page_of(recorded).said()


def test_runs_that_have_little_to_tell(new_trainer: NewTrainer) -> None:
    """Nothing measured; nobody judged; an end without a word."""
    empty = new_trainer("empty")
    assert "Nothing was measured." in page_of(empty).said()
    alone = new_trainer("alone")
    alone.hello()
    alone.samples(3)
    said = page_of(alone).said()
    assert "it goes on, or its training died without a word. No monitor judged it." in said


def test_the_size_is_bounded(new_trainer: NewTrainer) -> None:
    """A spike among many samples is in the picture, the samples are not."""
    long = new_trainer("long")
    long.hello()
    for step in range(1, 30_001):
        long.sample(loss=1e6 if step == 12_345 else 1.0)
    text = report(long.run.path, "-o", "-").stdout
    assert len(text) < 60_000
    assert "greatest 1e+06 (step 12345)" in Page(text).said()


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ('{"step": 1, "generation": 0, "status": "good", "files": {"a": {"bytes": 9}}, "more": 1}', "good, 9 B"),
        ('{"step": 1, "generation": 0, "status": "good", "files": {"state.pt": 5}}', ""),
        ('{"step": 1, "generation": 0, "status": "good", "files": []}', ""),
        ('{"step": "1", "generation": 0, "status": "good", "files": {}}', ""),
        ('{"step": 1, "generation": 0, "status": "good", "files": {}, "more": ' + "[" * 50_000, ""),
        ("[]", ""),
    ],
)
def test_manifests_of_another_kind(manifest: str, said: str, trainer: ScriptedTrainer) -> None:
    """Fields may be missing that nobody needs; what is no manifest is passed over."""
    place = trainer.run.checkpoints / "step-00000001"
    place.mkdir(parents=True)
    (place / "manifest.json").write_text(manifest)
    page = page_of(trainer).said()
    assert ("1 checkpoint, 0 found good, 1 on disk" if said else "None were saved.") in page
    assert said in page


def test_a_rule_that_others_took_the_place_of(trainer: ScriptedTrainer, rules: Path, tmp_path: Path) -> None:
    """It does not fire until the end."""
    driver = Driver(trainer.run, load_rules([str(rules)]))
    trainer.sample(loss=1.0, grad_norm=50.0)
    driver.drain(0.0)
    (tmp_path / "others.yaml").write_text(RULES.replace("GradientExplosion", "Other").replace("> 10", "> 99"))
    assert "GradientExplosion still firing" in page_of(trainer).said()
    driver.replace_rules(load_rules([str(tmp_path / "others.yaml")]))
    while driver.is_changing_rules:
        driver.poll(0.0)
        driver.change_rules()
    trainer.samples(9)
    driver.drain(0.0)
    driver.close()
    assert "GradientExplosion still firing" not in page_of(trainer).said()


def test_where_it_is_written(recorded: ScriptedTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the run's name, or where it is said; as a whole or not at all; and the run is only read."""
    before = {path: path.stat().st_mtime_ns for path in recorded.run.path.rglob("*")}
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    assert report(recorded.run.path).exit_code == 0
    assert [path.name for path in Path().iterdir()] == ["a<b>&c-report.html"]
    assert report(recorded.run.path, "-o", "story.html").stderr.startswith("story.html: ")
    nowhere = report(recorded.run.path, "-o", "none/story.html")
    assert (nowhere.exit_code, "can't be written" in nowhere.stderr) == (2, True)
    assert {path: path.stat().st_mtime_ns for path in recorded.run.path.rglob("*")} == before


def test_faults(recorded: ScriptedTrainer, tmp_path: Path) -> None:
    """No run, a directory of runs, and rules that are no good."""
    assert report(tmp_path / "none").exit_code == 2
    above = report(recorded.run.path.parent)
    assert (above.exit_code, "the runs in it are a<b>&c" in above.stderr) == (2, True)
    (tmp_path / "bad.yaml").write_text(BAD_RULES)
    assert "did you mean" in report(recorded.run.path, "--rules", tmp_path / "bad.yaml").stderr
