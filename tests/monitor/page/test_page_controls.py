"""Acting on a run from the page: orders and approvals, with the right token, a wrong one, and none."""

from collections.abc import Iterator

import pytest

from tests.monitor.helpers import ScriptedTrainer, interventions_of, journal_of, serving
from tests.monitor.page.conftest import TOKEN
from tests.support.browser import Browser
from tests.support.waiting import until
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.http.app import build_app
from trainguard_wire import Approval, Order

ENTER, ESCAPE, TAB = "\ue007", "\ue00c", "\ue004"


@pytest.fixture
def without_token(browser: Browser, daemon: Daemon, story: ScriptedTrainer) -> Iterator[Browser]:
    """The same over a monitor that was started without a token."""
    with serving(build_app(daemon)) as url:
        browser.open(f"{url}/?run=a")
        browser.until(lambda: "Show in the charts" in browser.text("#timeline"))
        yield browser
        browser.forget(url)
        daemon.feed.close()


def sign_in(page: Browser, token: str = TOKEN, by: str = "ada") -> None:
    """Fill in the dialog that asks for the token."""
    page.until(lambda: page.text("dialog h2") == "Token")
    page.find("#dialog-token").send_keys(token)
    page.find("#dialog-by").send_keys(by)
    page.button("Continue").click()


def orders(trainer: ScriptedTrainer) -> list[Order]:
    return [record for record in journal_of(trainer.run) if isinstance(record, Order)]


def test_scale_the_learning_rate(page: Browser, story: ScriptedTrainer) -> None:
    """A factor, a reason, the token once; then what the monitor said, and then what the trainer did."""
    page.button("Scale learning rate…").click()
    assert page.text("dialog h2") == "Scale the learning rate"
    factor = page.find("#dialog-factor")
    factor.clear()
    factor.send_keys("0.1")
    assert page.text("#dialog-factor-help") == "0.05 → 0.005 at present"
    page.find("#dialog-reason").send_keys("too hot")
    page.button("Scale").click()
    sign_in(page)
    told = "Told the trainer to cut the learning rate to a tenth. It has not answered yet."
    page.until(lambda: page.text("#answer") == told)
    [order] = orders(story)
    assert (order.by, order.reason, order.actions[0].params["factor"]) == ("ada", "too hot", 0.1)
    story.apply(interventions_of(story.run)[-1])
    page.until(lambda: page.text("#answer") == "Learning rate: 1 → 0.5, at step 240.")
    page.until(lambda: "Ordered by ada: too hot" in page.text("#timeline"))
    page.button("Save checkpoint").click()  # nothing to ask: neither a question nor the token
    page.until(lambda: page.text("#answer").startswith("Told the trainer to save a checkpoint."))
    assert TOKEN not in page.js("JSON.stringify(performance.getEntries().map((e) => e.name))")
    assert page.js("localStorage.length") == 0


def test_a_wrong_token(page: Browser, story: ScriptedTrainer) -> None:
    """It is said, nothing is done, and the next order asks again."""
    page.button("Save checkpoint").click()
    sign_in(page, "a-token-that-is-not-the-right-one")
    page.until(lambda: page.text("#answer") == "Not done: the token is not right. Try again with another.")
    assert all("401" in line for line in page.complaints())
    assert orders(story) == []
    page.button("Save checkpoint").click()
    sign_in(page, by="")
    page.until(lambda: page.text("#answer").startswith("Told the trainer to save a checkpoint."))
    assert orders(story)[0].by == "ada"  # the name had been kept


def test_stop_asks_first(page: Browser, story: ScriptedTrainer) -> None:
    """By keyboard: Escape is no, and leaves the focus where it was; Enter on the button is yes."""
    page.js("return arguments[0].focus()", page.button("Stop…"))
    page.press(ENTER)
    assert page.text("dialog h2") == "Stop the training?"
    page.press(ESCAPE)
    page.until(lambda: not page.all("dialog"))
    assert page.js("document.activeElement.textContent") == "Stop…"
    assert orders(story) == []
    page.press(ENTER)
    page.press(ENTER)  # the reason has the focus; Enter sends a form
    sign_in(page)
    page.until(lambda: page.text("#answer").startswith("Told the trainer to stop the training."))
    assert interventions_of(story.run)[-1].actions[0].kind == "stop"


def test_an_order_that_is_held(page: Browser, story: ScriptedTrainer) -> None:
    """The verdict in words, with its reason."""
    page.button("Scale learning rate…").click()
    page.button("Scale").click()
    sign_in(page)
    page.until(lambda: page.text("#answer").startswith("Told the trainer to halve the learning rate."))
    page.button("Scale learning rate…").click()
    page.button("Scale").click()
    page.until(lambda: page.text("#answer").startswith("Not done, another intervention comes first: manual."))


def test_approve_and_deny(page: Browser, story: ScriptedTrainer) -> None:
    """What waits stands at the top with what it wants and why; either answer is taken and gone from there."""
    story.sample(loss=9.0, grad_norm=1.0)
    page.until(lambda: page.text("#health") == "Waiting for you")
    assert page.text("#requests h3") == "Asks wants to stop the training"
    assert "Loss is 9." in page.text("#requests")
    page.button("Deny what Asks asked for at step 241").click()
    sign_in(page)
    page.until(lambda: page.text("#answer") == "Denied: Asks will not stop the training.")
    page.until(lambda: not page.find("#requests").is_displayed())
    story.sample(loss=1.0, grad_norm=1.0)
    story.sample(loss=9.5, grad_norm=1.0)
    until(lambda: interventions_of(story.run))
    page.until(lambda: page.text("#requests h3"))
    page.button("Approve what Asks asked for at step 243").click()
    page.until(lambda: page.text("#answer").startswith("Told the trainer to stop the training."))
    said = [record for record in journal_of(story.run) if isinstance(record, Approval)]
    assert [(answer.approved, answer.by) for answer in said] == [(False, "ada"), (True, "ada")]
    page.until(lambda: "Approved by ada." in page.text("#timeline"))


def test_a_request_that_nobody_answers(page: Browser, story: ScriptedTrainer) -> None:
    """Asked again when it expires: one request, with how often it was asked, and nothing that failed."""
    story.samples(230, loss=9.0, grad_norm=1.0)
    page.until(lambda: "Asked 3 times, the last at step 443; expires in" in page.text("#requests"))
    page.until(lambda: page.text("#timeline").count("Asks asks a person") == 1)
    assert "Asked 3 times, no answer yet." in page.text("#timeline")
    story.samples(2, loss=1.0, grad_norm=1.0)
    page.until(lambda: "Asked 3 times, the incident is over." in page.text("#timeline"))


def test_what_the_trainer_does_not_offer(page: Browser, story: ScriptedTrainer) -> None:
    """Such a button can be reached and says why it does nothing."""
    pause = page.button("Pause…")
    assert pause.get_attribute("aria-disabled") == "true"
    why = "The trainer does not offer: pause and resume."
    assert page.text(f"#{pause.get_attribute('aria-describedby')}") == why
    pause.click()
    assert page.text("#answer") == why
    assert page.all("dialog") == []


def test_no_token_no_orders(without_token: Browser) -> None:
    """All buttons say so."""
    buttons = without_token.all("#controls button")
    assert {button.get_attribute("aria-disabled") for button in buttons} == {"true"}
    why = "This monitor takes no orders: it was started without --token-file."
    assert without_token.text("#controls-note") == why


def test_a_run_that_has_ended(page: Browser, story: ScriptedTrainer) -> None:
    """There is nobody to order anything."""
    story.goodbye()
    page.until(lambda: page.text("#health") == "Finished")
    page.until(lambda: page.text("#controls-note").startswith("The run has ended"))
