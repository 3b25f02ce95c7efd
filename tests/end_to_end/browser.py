"""A headless Chromium for tests, controlled over the DevTools protocol through a pair of pipes.

Needs only Debian's `chromium`. Every request has a time limit. The browser and its helper processes are ended by the
process ids of their session.
"""

import base64
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """`with Browser() as browser: page = browser.open(file)`"""

    def __init__(self, timeout=60):
        self.timeout = timeout
        self.events = []
        self._next, self._buffer = 0, b""
        self._profile = tempfile.mkdtemp(prefix="tessera_browser_")
        self._log = open(pathlib.Path(self._profile) / "log.txt", "w+b")
        to_browser, self._to = os.pipe()
        self._from, from_browser = os.pipe()

        def descriptors_3_and_4():  # where --remote-debugging-pipe listens and answers
            high_in, high_out = os.dup(to_browser), os.dup(from_browser)
            os.dup2(high_in, 3)
            os.dup2(high_out, 4)

        self.process = subprocess.Popen(
            [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
             "--force-color-profile=srgb", f"--user-data-dir={self._profile}", "--remote-debugging-pipe", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, close_fds=False, start_new_session=True,
            preexec_fn=descriptors_3_and_4)
        os.close(to_browser)
        os.close(from_browser)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def said(self):
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-4000:]

    def _message(self, end):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"the browser did not answer in time\n{self.said()}")
            more = os.read(self._from, 1 << 20)
            if not more:
                raise AssertionError(f"the browser ended\n{self.said()}")
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def ask(self, method, session=None, **parameters):
        """The browser's reply. Events that arrive before it are kept."""
        self._next += 1
        number, end = self._next, time.monotonic() + self.timeout
        question = {"id": number, "method": method, "params": parameters}
        if session:
            question["sessionId"] = session
        data = json.dumps(question).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data):]
        while True:
            message = self._message(end)
            if message.get("id") == number:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def wait_for(self, method, session):
        end = time.monotonic() + self.timeout
        while True:
            for at, event in enumerate(self.events):
                if event.get("method") == method and event.get("sessionId") == session:
                    return event
            self.events.append(self._message(end))

    def open(self, file, width=1280, height=900, dark=False, scale=1):
        return Page(self, file, width, height, dark, scale)

    def _session_pids(self):
        pids = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.process.pid and state != "Z":
                    pids.append(int(entry.name))
            except (OSError, ValueError):
                continue
        return pids

    def close(self):
        end = time.monotonic() + 20
        while pids := self._session_pids():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if time.monotonic() > end:
                raise AssertionError(f"processes that no SIGKILL ends: {pids}")
            time.sleep(0.02)
        self.process.wait()
        for descriptor in (self._to, self._from):
            os.close(descriptor)
        self._log.close()
        shutil.rmtree(self._profile, ignore_errors=True)


class Page:
    """A file loaded in a tab of the browser."""

    def __init__(self, browser, file, width, height, dark, scale):
        self.browser = browser
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        browser.events.clear()
        answer = self.ask("Page.navigate", url=pathlib.Path(file).resolve().as_uri())
        if answer.get("errorText"):
            raise AssertionError(f"{file}: {answer['errorText']}")
        browser.wait_for("Page.loadEventFired", self.session)

    def ask(self, method, **parameters):
        return self.browser.ask(method, self.session, **parameters)

    def evaluate(self, expression):
        """The value of a JavaScript expression."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def complaints(self):
        """Errors and warnings of the page: exceptions, console, log (including the content policy)."""
        self.evaluate("new Promise(done => setTimeout(done, 100))")
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            method, parameters = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                found.append(parameters["exceptionDetails"].get("text", "exception"))
            if method == "Runtime.consoleAPICalled":
                found.append(f"console.{parameters['type']}")
            if method == "Log.entryAdded":
                found.append(parameters["entry"]["text"])
        return found

    def requests(self):
        """The requested addresses, without data: addresses."""
        urls = [e["params"]["request"]["url"] for e in self.browser.events
                if e.get("method") == "Network.requestWillBeSent" and e.get("sessionId") == self.session]
        return [url for url in urls if not url.startswith("data:")]

    def screenshot(self, whole=False, clip=None):
        """A PNG of the window, of the whole page, or of {x, y, width, height} in CSS pixels."""
        how = {"captureBeyondViewport": whole or clip is not None}
        if whole:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"]}
        if clip:
            how["clip"] = {"scale": 1, **clip}
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png", **how)["data"])

    def pdf(self):
        return base64.b64decode(self.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=False,
                                         paperWidth=8.27, paperHeight=11.69)["data"])
