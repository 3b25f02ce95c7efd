"""A headless Chromium for tests of HTML pages, driven by Selenium (Debian: python3-selenium, chromium-driver)."""

import base64
import json
import pathlib
import shutil

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
except ImportError:
    webdriver = None

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
AVAILABLE = bool(webdriver and PROGRAM and DRIVER)


class Browser:
    """`with Browser() as browser: page = browser.open(file)`. One page is open at a time. Every step has a time limit."""

    def __init__(self, timeout=60):
        options = webdriver.ChromeOptions()
        options.binary_location = PROGRAM
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                         "--force-color-profile=srgb"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(service=Service(DRIVER), options=options)
        self.driver.set_page_load_timeout(timeout)
        self.driver.set_script_timeout(timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def open(self, file, width=1280, height=900, dark=False, scale=1):
        return Page(self.driver, file, width, height, dark, scale)

    def close(self):
        self.driver.quit()


class Page:
    """A file that is open and loaded; the next one that is opened replaces it."""

    def __init__(self, driver, file, width, height, dark, scale):
        self.driver = driver
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        for log in ("browser", "performance"):
            driver.get_log(log)  # empties it
        driver.get(pathlib.Path(file).resolve().as_uri())

    def ask(self, command, **parameters):
        """The result of a command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(command, parameters)

    def evaluate(self, expression):
        """The value of a JavaScript expression."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def complaints(self):
        """Errors and warnings of the page since the last call: exceptions, console, content policy."""
        self.evaluate("new Promise(done => setTimeout(done, 100))")
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self):
        """The addresses that the page requested since the last call, without those of data:."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith("data:")]

    def screenshot(self, clip=None):
        """A PNG of the window, or of {x, y, width, height} in CSS pixels."""
        how = {"captureBeyondViewport": True, "clip": {"scale": 1, **clip}} if clip else {}
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png", **how)["data"])

    def pdf(self):
        return base64.b64decode(self.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=False,
                                         paperWidth=8.27, paperHeight=11.69)["data"])
