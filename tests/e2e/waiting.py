"""Browsers and servers take their time, and under load a lot of it: whoever asks waits here, and asks again."""

import time

from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By

# A page between two loads has no elements and no answers, and what was found on the last one is stale.
NOT_YET = (LookupError, RuntimeError, TypeError, WebDriverException)


def wait_for(check, what="", timeout=45.0, step=0.05):
    """The first true value of *check*; what is looked for and not there (any more) counts as not yet."""
    end = time.monotonic() + timeout
    while True:
        try:
            value = problem = check()
        except NOT_YET as error:
            value, problem = None, error
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout} s for {what or check}; last: {problem!r}")
        time.sleep(step)


class element:  # noqa: N801 (used like a verb: `element(browser, "h1").click()`)
    """The first such element of the page in front, found anew for whatever is asked of it, until that can be done."""

    def __init__(self, browser, selector):
        self.driver, self.selector = browser.driver, selector

    def found(self):
        """As the driver has it, for what only that can do."""
        return self._once(lambda it: it)

    def _once(self, act):
        def done():
            return [act(self.driver.find_element(By.CSS_SELECTOR, self.selector))]

        return wait_for(done, self.selector)[0]

    @property
    def text(self):
        return self._once(lambda it: it.text)

    def click(self):
        self._once(lambda it: it.click())

    def clear(self):
        self._once(lambda it: it.clear())

    def send_keys(self, *keys):
        self._once(lambda it: it.send_keys(*keys))

    def get_attribute(self, name):
        return self._once(lambda it: it.get_attribute(name))

    def get_property(self, name):
        return self._once(lambda it: it.get_property(name))

    def is_selected(self):
        return self._once(lambda it: it.is_selected())


def press(browser, text):
    """Press the button that says so, once it is there; it has to be the only one."""

    def pressed():
        buttons = browser.driver.find_elements(By.CSS_SELECTOR, "main button")
        named = [button for button in buttons if button.text == text]
        assert len(named) < 2, text
        named[0].click()
        return True

    wait_for(pressed, f"the button {text!r}")
