"""The page of one run, in a real browser over a real monitor."""

from tests.monitor.conftest import NewTrainer
from tests.monitor.helpers import ScriptedTrainer, interventions_of
from tests.support.browser import Browser
from tests.support.waiting import until
from trainguard_monitor.daemon import Daemon

CHARTS = ["Loss", "Gradient norm", "Learning rate", "Confidence"]


def ink(page: Browser, chart: int, colour: str) -> int:
    """How many pixels of a chart have a colour of the theme, or something on the way to it from the card's."""
    return int(
        page.js(
            """
            const drawn = document.querySelectorAll(".chart canvas")[arguments[0]];
            const { width, height } = drawn;
            const canvas = Object.assign(document.createElement("canvas"), { width, height });
            const context = canvas.getContext("2d", { willReadFrequently: true });
            context.drawImage(drawn, 0, 0);
            const probe = document.body.appendChild(document.createElement("i"));
            probe.style.color = `var(--${arguments[1]})`;
            const wanted = getComputedStyle(probe).color.match(/\\d+/g).slice(0, 3).map(Number);
            probe.remove();
            const { data } = context.getImageData(0, 0, width, height);
            let found = 0;
            for (let i = 0; i < data.length; i += 4) {
              found += data[i + 3] > 20 && wanted.every((c, k) => Math.abs(data[i + k] - c) < 24);
            }
            return found;
            """,
            chart,
            colour,
        )
    )


def test_health_in_a_word_and_what_happened_in_a_sentence(page: Browser) -> None:
    """Is it healthy? What happened? Did it help?"""
    assert page.text("h1") == "a"
    assert page.text("#health") == "Healthy"
    assert (
        page.text("#story") == "No rule is firing. There was one intervention, at step 123, 117 steps ago. It helped."
    )
    vitals = page.text("#vitals").replace("\n", " ")
    assert "Step 240" in vitals
    assert "Loss 1.4" in vitals
    assert "Learning rate 0.05" in vitals


def test_charts_with_bands_and_marks(page: Browser) -> None:
    """Each has a curve, the band of the rule that looks at it, and the mark of the intervention."""
    assert [name.text for name in page.all(".chart-name")] == CHARTS
    for chart in range(len(CHARTS)):
        assert ink(page, chart, "curve") > 200, CHARTS[chart]
        assert ink(page, chart, "act") > 30, CHARTS[chart]
    firing = [ink(page, chart, "firing") for chart in range(len(CHARTS))]
    assert all(amount > 0 for amount in firing)  # the strip at the top
    described = page.find(".plot").get_attribute("aria-label")
    assert described == "Loss from step 1 to 240: 1.4 at the end, 1.4 at the lowest, 6 at the highest"


def test_the_layers_with_the_largest_gradients(page: Browser, story: ScriptedTrainer) -> None:
    """The newest norms, the largest first, with bars beside the largest; one that is no number says so."""
    assert page.text("#layers-title") == "Largest gradient norms by layer at step 240"
    words = "row.innerText.split(/\\s+/).slice(0, 2).join(' ')"
    shown = f"[...document.querySelectorAll('.layers tbody tr')].map((row) => {words})"
    assert page.js(shown) == ["stages.2.attention.qkv.weight 0.8", "embed.weight 0.2"]
    assert [meter.get_attribute("value") for meter in page.all(".layers meter")] == ["1", "0.25"]
    story.sample(layers={"head.bias": float("nan"), "embed.weight": 4.0}, loss=1.4, grad_norm=4.0)
    page.until(lambda: page.js(shown) == ["head.bias NaN", "embed.weight 4"])


def test_a_hint_says_why(page: Browser) -> None:
    """At the mark: the reason, what was done, with before and after; and whether it helped."""
    page.point(page.find(".u-over"), 135 / 240)
    hint = page.until(lambda: page.text(".hint"))
    assert [line for line in hint.splitlines() if line] == [
        "GradientExplosion acted at step 123",
        "Norm 99 at step 123, <b>far</b> above",
        "Learning rate halved: 1 → 0.5",
        "It helped.",
    ]
    page.point(page.find(".u-over"), 0.2)
    assert not page.find(".hint").is_displayed()
    readouts = [value.text for value in page.all(".chart-value")]
    assert len({text.partition(" at step ")[2] for text in readouts}) == 1  # cursors are linked


def test_timeline(page: Browser) -> None:
    """Decisions in words, with what became of them; checkpoints and the like on request."""
    text = page.text("#timeline")
    assert "GradientExplosion acted" in text
    assert "Norm 99 at step 123, <b>far</b> above." in text
    assert "Learning rate halved: 1 → 0.5" in text
    page.until(lambda: "It helped: gradient norm 99 → 1.1, by step 136" in page.text("#timeline"))
    assert "checkpoint" not in text
    page.find("#timeline-all").click()
    page.until(lambda: "The checkpoint of step 100 is good" in page.text("#timeline"))
    assert "GradientExplosion is over" in page.text("#timeline")
    assert page.all("#timeline b") == []  # text is only ever text


def test_rules(page: Browser) -> None:
    """State, value against threshold, what it does, cooldown and limit left, the last verdict."""
    rows = {row.find_element("css selector", ".rule-name").text: row.text for row in page.all("#rules tbody tr")}
    rows = {name: " ".join(text.split()) for name, text in rows.items()}
    assert list(rows) == ["GradientExplosion", "LossHigh", "Asks"]
    explosion = rows["GradientExplosion"]
    assert "inactive" in explosion
    assert "> 10" in explosion
    assert "Halve the learning rate acts by itself" in explosion
    assert "2 times 3 per 1000 steps" in explosion
    assert "Held back: an intervention is under way at step 124" in explosion
    assert "asks a person first" in rows["Asks"]
    assert "LossHalves" in page.text("#expectations")


def test_it_lives(page: Browser, story: ScriptedTrainer) -> None:
    """What happens is shown without a reload, and said to who can't see it."""
    page.js("window.stays = true")
    story.samples(60, loss=1.2, grad_norm=1.0, lr=0.05)
    page.until(lambda: "Step\n300" in page.text("#vitals"))
    page.until(lambda: page.js("document.querySelector('.plot').ariaLabel").startswith("Loss from step 1 to 300: 1.2"))
    story.samples(3, loss=6.0, grad_norm=50.0, lr=0.05)
    page.until(lambda: "GradientExplosion is firing" in page.text("#story"))
    assert page.text("#health") == "In trouble"
    page.until(lambda: "Norm 50 at step 303" in page.text("#timeline"))
    page.until(lambda: "scale_lr by 0.5" in page.js("document.getElementById('announcer').textContent"))
    assert "no answer from the trainer yet" in page.text("#timeline")
    story.apply(interventions_of(story.run)[-1])
    page.until(lambda: page.text("#timeline").count("Learning rate halved") == 2)
    page.until(lambda: "cooldown" in page.text("#rules").lower() and "steps left" in page.text("#rules"))
    assert page.js("window.stays") is True


def test_zoom_asks_for_the_finer_range(page: Browser) -> None:
    """Dragging over a chart, or two numbers, show these steps in all charts; the whole run comes back."""
    page.drag(page.find(".u-over"), 0.25, 0.5)
    first, last = (int(part.split("=")[1]) for part in page.until(lambda: page.js("location.search"))[7:].split("&"))
    assert (abs(first - 60) < 6, abs(last - 120) < 6) == (True, True)
    described = f"Gradient norm from step {first} to {last}"
    page.until(lambda: page.all(".plot")[1].get_attribute("aria-label").startswith(described))
    steps = page.all(".steps input")
    steps[0].send_keys("100")
    steps[1].send_keys("110")
    page.button("Show").click()
    page.until(lambda: "from step 100 to 110" in page.all(".plot")[0].get_attribute("aria-label"))
    asked = page.js("performance.getEntriesByType('resource').map((e) => e.name).filter((n) => n.includes('/samples'))")
    assert "from=100&to=110" in asked[-1]
    page.button("Whole run").click()
    page.until(lambda: "from step 1 to 240" in page.all(".plot")[0].get_attribute("aria-label"))
    assert page.js("location.search") == "?run=a"


def test_log_scale_and_other_signals(page: Browser, story: ScriptedTrainer) -> None:
    """A logarithm of what is positive; a chart more, a chart less; the choice is kept."""
    story.sample(loss=1.0, grad_norm=1.0, lr=0.05, my_score=0.0)
    log = page.button("log scale for Confidence")
    assert log.get_attribute("aria-pressed") == "false"
    before = page.js("document.querySelectorAll('.chart canvas')[3].toDataURL()")
    log.click()
    assert log.get_attribute("aria-pressed") == "true"
    page.until(lambda: page.js("document.querySelectorAll('.chart canvas')[3].toDataURL()") != before)
    page.button("Take Learning rate away").click()
    assert [name.text for name in page.all(".chart-name")] == ["Loss", "Gradient norm", "Confidence"]
    page.driver.refresh()
    page.until(lambda: [name.text for name in page.all(".chart-name")] == ["Loss", "Gradient norm", "Confidence"])
    choices = page.until(lambda: [option.text for option in page.all("#chooser option")])
    assert choices == ["Add a signal…", "Learning rate", "My score"]
    page.all("#chooser option")[2].click()
    page.until(lambda: [name.text for name in page.all(".chart-name")][-1] == "My score")


def test_values_that_are_no_numbers(page: Browser, story: ScriptedTrainer) -> None:
    """They are said by name and marked in red, and the curve has a gap."""
    story.sample(loss=float("nan"), grad_norm=float("inf"))
    page.until(lambda: "Loss\nNaN" in page.text("#vitals"))
    assert "Gradient norm\n∞" in page.text("#vitals")
    page.until(lambda: ink(page, 0, "bad") > 10)


def test_no_such_run(browser: Browser, url: str, daemon: Daemon, new_trainer: NewTrainer) -> None:
    """It is said, with a way back, and the run appears when it begins. The browser itself complains of the 404."""
    browser.open(f"{url}/?run=%3Cb%3Enone")
    browser.until(lambda: "There is no such run" in browser.text())
    assert "The monitor knows no run <b>none" in browser.text()
    browser.until(lambda: browser.text("#connection") == "Live")
    assert all("404" in line for line in browser.complaints())
    new_trainer("<b>none").hello()
    browser.until(lambda: browser.text("#health") == "No sample yet")


def test_a_monitor_that_is_gone_and_comes_back(browser: Browser, daemon: Daemon, story: ScriptedTrainer) -> None:
    """What is shown is marked as old, and is the present again once somebody answers."""
    from trainguard_monitor.http.app import build_app
    from trainguard_monitor.http.server import Server, address_of, bind

    def serve(address: str) -> tuple[Server, str]:
        bound = bind(address)
        server = Server(build_app(daemon), bound)
        server.start()
        return server, address_of(bound)

    server, address = serve("127.0.0.1:0")
    browser.open(f"http://{address}/?run=a")
    browser.until(lambda: browser.text("#connection") == "Live")
    server.stop()
    browser.until(lambda: browser.text("#connection").startswith("No answer from the monitor since"))
    story.samples(10, loss=1.2, grad_norm=1.0)
    until(lambda: daemon.runs()[0].step == 250)
    server, _ = serve(address)
    try:
        browser.until(lambda: browser.text("#connection") == "Live")
        browser.until(lambda: "Step\n250" in browser.text("#vitals"))
        refused = [line for line in browser.complaints() if "ERR_" not in line]
        assert refused == []
    finally:
        browser.open("about:blank")
        server.stop()
