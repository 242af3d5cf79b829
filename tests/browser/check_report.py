#!/usr/bin/env python3
"""Looks at a report as people do: in headless Chromium, wide and narrow, light and dark, with JavaScript and without.

  check_report.py REPORT.html [--screenshots FOLDER]

Checks that the page loads without an error on its console and without a request for anything but itself, that every
chart has its points and every picture its pixels, that choices and sliders do what they say, and that nothing sticks out
on a phone. Exit code 1 says what is wrong; 77 that there is no Chromium or Selenium here.
"""
import argparse
import json
import pathlib
import sys

try:
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
except ImportError:
    print("check_report: skipped: there is no Selenium (python3-selenium)")
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


class Failures(list):
    def check(self, good, what):
        if not good:
            self.append(what)


def requests_of(driver):
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            yield message["params"]["request"]["url"]


def brightness(colour):
    """Of "rgb(22, 24, 29)", 0 to 255."""
    return sum(float(part) for part in colour[colour.index("(") + 1:-1].split(",")[:3]) / 3


def check_loading(driver, page, failures):
    for entry in driver.get_log("browser"):
        failures.check(entry["level"] not in ("SEVERE", "WARNING"), f"console: {entry['message']}")
    outside = [url for url in requests_of(driver) if not url.startswith(("data:", page))]
    failures.check(not outside, f"requests outside of the page: {outside[:3]}")


def check_content(driver, failures):
    pictures = driver.execute_script(
        "return [...document.images].map(i => [i.naturalWidth, i.alt, i.complete])")
    failures.check(all(width > 0 and alt and complete for width, alt, complete in pictures),
                   "a picture without pixels or without a description")
    charts = driver.execute_script(
        "return [...document.querySelectorAll('figure > svg')].map(s => [s.querySelectorAll('path').length,"
        " s.getAttribute('aria-label'), /NaN|undefined|Infinity/.test(s.outerHTML)])")
    failures.check(len(charts) > 0, "no chart at all")
    for paths, label, broken in charts:
        failures.check(paths > 0 and label and not broken, f"a chart without points or description: {label}")
    tips = driver.execute_script("return document.querySelectorAll('#curves .tip > title').length")
    failures.check(tips > 0, "the learning curve shows no numbers to a pointer")
    targets = driver.execute_script(
        "return [...document.querySelectorAll('nav a')].every(a => document.querySelector(a.getAttribute('href')))")
    failures.check(targets, "a link at the top leads nowhere")


def check_controls(driver, failures):
    shown = "return [...document.querySelectorAll('.choice > figure')].map(f => getComputedStyle(f).display)"
    if driver.find_elements(By.CSS_SELECTOR, ".choice"):
        failures.check(driver.execute_script(shown) == ["block", "none"], "not the linear curve first")
        driver.find_element(By.CSS_SELECTOR, ".choice > label[for=scale1]").click()
        failures.check(driver.execute_script(shown) == ["none", "block"], "the choice of the logarithmic curve does nothing")
    for slider in driver.find_elements(By.CSS_SELECTOR, "#samples input[type=range]"):
        frames = "return [...document.querySelectorAll('#samples .frames figure')].map(f => f.style.display !== 'none')"
        before = driver.execute_script(frames)
        failures.check(before.count(True) == 1 and before[-1], "the slider does not begin at its last picture")
        slider.send_keys(Keys.HOME)
        after = driver.execute_script(frames)
        failures.check(after.count(True) == 1 and after[0], "the slider does not lead to the first picture")
        slider.send_keys(Keys.END)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=pathlib.Path)
    parser.add_argument("--screenshots", type=pathlib.Path)
    arguments = parser.parse_args()
    page = arguments.report.resolve().as_uri()
    failures = Failures()
    try:
        browser(1280).quit()
    except Exception as error:  # Selenium has many kinds for a browser that is not there
        print(f"check_report: skipped: no Chromium starts here ({str(error).splitlines()[0]})")
        sys.exit(77)
    for width in WIDTHS:
        for dark in (False, True):
            driver = browser(width, dark)
            try:
                driver.get(page)
                check_loading(driver, page, failures)
                check_content(driver, failures)
                check_controls(driver, failures)
                sticks_out = driver.execute_script("return document.documentElement.scrollWidth") - width
                failures.check(sticks_out <= 0, f"{sticks_out} pixels stick out at a width of {width}")
                ground = brightness(driver.execute_script("return getComputedStyle(document.body).backgroundColor"))
                text = brightness(driver.execute_script("return getComputedStyle(document.body).color"))
                failures.check((ground < text) == dark and abs(ground - text) > 150, f"not {'dark' if dark else 'light'}")
                if arguments.screenshots:
                    arguments.screenshots.mkdir(parents=True, exist_ok=True)
                    name = f"report_{width}_{'dark' if dark else 'light'}.png"
                    driver.save_screenshot(str(arguments.screenshots / name))
            finally:
                driver.quit()
    driver = browser(1280, javascript=False)
    try:
        driver.get(page)
        figures = driver.find_elements(By.CSS_SELECTOR, "#samples .frames figure")
        failures.check(all(f.value_of_css_property("display") != "none" for f in figures),
                       "without JavaScript some samples are hidden")
    finally:
        driver.quit()
    for failure in dict.fromkeys(failures):
        print(f"check_report: {failure}", file=sys.stderr)
    if not failures:
        print(f"{arguments.report}: wide and narrow, light and dark, with JavaScript and without")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
