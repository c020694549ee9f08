"""A real Chromium without a screen, on loopback alone."""

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.tools import mortal, need, need_module

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-prefers-reduced-motion",
    "--remote-debugging-pipe",  # when it closes, Chromium ends: it does not outlive its driver
)


class Browser:
    """A tab of it. ``driver`` is Selenium's."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)

    def js(self, script: str, *arguments: object) -> Any:
        """The value of a JavaScript expression, or of a function body with ``return`` in it."""
        return self.driver.execute_script(script if "return " in script else f"return {script}", *arguments)

    def cdp(self, command: str, **parameters: object) -> Any:
        return self.driver.execute_cdp_cmd(command, parameters)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def text(self, selector: str = "main") -> str:
        """What of an element can be seen."""
        return str(self.js("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def button(self, label: str) -> Any:
        """The button with this name, as a screen reader says it."""
        found = [b for b in self.all("button, summary") if b.accessible_name == label]
        assert len(found) == 1, f"{label!r}: {[b.accessible_name for b in self.all('button')]}"
        return found[0]

    def press(self, *keys: str) -> None:
        """Keys, one after the other, to whatever has the focus."""
        actions = self._actions()
        for key in keys:
            actions = actions.send_keys(key)
        actions.perform()

    def drag(self, element: Any, start: float, end: float) -> None:
        """With the mouse, from one share of an element's width to another."""
        width = element.rect["width"]
        actions = self._actions(10).move_to_element_with_offset(element, int((start - 0.5) * width), 0)
        actions.click_and_hold().move_by_offset(int((end - start) * width), 0).release().perform()

    def point(self, element: Any, share: float) -> None:
        """Hold the mouse over an element, at a share of its width."""
        offset = int((share - 0.5) * element.rect["width"])
        self._actions(10).move_to_element_with_offset(element, offset, 0).perform()

    def screen(self, width: int, height: int, *, scale: float = 1, phone: bool = False) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone}
        self.cdp("Emulation.setDeviceMetricsOverride", **size)

    def scheme(self, colours: str) -> None:
        """What the system prefers: ``light`` or ``dark``."""
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": colours}])

    def forget(self, origin: str) -> None:
        """Everything that the page remembers."""
        self.open("about:blank")
        self.cdp("Storage.clearDataForOrigin", origin=origin, storageTypes="all")

    def complaints(self) -> list[str]:
        """What was logged to the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def until(self, condition: Callable[[], Any], seconds: float = 60.0) -> Any:
        """The first value of ``condition`` that is true; fails with what is shown when none comes."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {seconds} s; shown: {self.text('body')}"
            time.sleep(0.02)
        return value

    def _actions(self, duration: int = 0) -> Any:
        chains = need_module("selenium.webdriver.common.action_chains")
        return chains.ActionChains(self.driver, duration=duration)


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile."""
    webdriver = need_module("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = need("chromium")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    starter = profile.with_suffix(".sh")
    starter.write_text(f'#!/bin/sh\nexec {shlex.join(mortal([need("chromedriver")]))} "$@"\n')
    starter.chmod(0o700)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(starter)))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
