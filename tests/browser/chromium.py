"""Headless Chromium for the checks of pages, and what they share."""
import json
import sys

try:
    from selenium import webdriver
except ImportError:
    print("skipped: there is no Selenium (python3-selenium)")
    sys.exit(77)

WIDTHS = (1280, 390)


def browser(width, dark=False, javascript=True):
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if not javascript:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    driver = webdriver.Chrome(options=options)
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                           {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
        "features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
    return driver


def require_browser():
    """Ends the program with 77 where no Chromium starts."""
    try:
        browser(1280).quit()
    except Exception as error:  # Selenium has many kinds for a browser that is not there
        print(f"skipped: no Chromium starts here ({str(error).splitlines()[0]})")
        sys.exit(77)


class Failures(list):
    def check(self, good, what):
        if not good:
            self.append(what)

    def end(self, passed):
        """Says what is wrong, or that nothing is, and ends the program."""
        for failure in dict.fromkeys(self):
            print(failure, file=sys.stderr)
        if not self:
            print(passed)
        sys.exit(1 if self else 0)


def requests_of(driver):
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            yield message["params"]["request"]["url"]


def check_loading(driver, page, failures):
    """No error on the console, and no request for anything but the page and what lies below it."""
    for entry in driver.get_log("browser"):
        failures.check(entry["level"] not in ("SEVERE", "WARNING"), f"console: {entry['message']}")
    outside = [url for url in requests_of(driver) if not url.startswith(("data:", page))]
    failures.check(not outside, f"requests outside of the page: {outside[:3]}")


def check_width(driver, width, failures):
    sticks_out = driver.execute_script("return document.documentElement.scrollWidth") - width
    failures.check(sticks_out <= 0, f"{sticks_out} pixels stick out at a width of {width}")


def check_colours(driver, dark, failures):
    """Of "rgb(22, 24, 29)" the mean."""
    def brightness(property_name):
        colour = driver.execute_script(f"return getComputedStyle(document.body).{property_name}")
        return sum(float(part) for part in colour[colour.index("(") + 1:-1].split(",")[:3]) / 3
    ground, text = brightness("backgroundColor"), brightness("color")
    failures.check((ground < text) == dark and abs(ground - text) > 150, f"not {'dark' if dark else 'light'}")


def screenshot(driver, folder, name, width, dark):
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        driver.save_screenshot(str(folder / f"{name}_{width}_{'dark' if dark else 'light'}.png"))
