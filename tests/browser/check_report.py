#!/usr/bin/env python3
"""Looks at a report as people do: in headless Chromium, wide and narrow, light and dark, with JavaScript and without.

  check_report.py REPORT.html [--screenshots FOLDER]

Checks that the page loads without an error on its console and without a request for anything but itself, that every
chart has its points and every picture its pixels, that choices and sliders do what they say, and that nothing sticks out
on a phone. Exit code 1 says what is wrong; 77 that there is no Chromium or Selenium here.
"""
import argparse
import pathlib

from chromium import (WIDTHS, Failures, browser, check_colours, check_loading, check_width, require_browser,
                      screenshot)
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys


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
    require_browser()
    for width in WIDTHS:
        for dark in (False, True):
            driver = browser(width, dark)
            try:
                driver.get(page)
                check_loading(driver, page, failures)
                check_content(driver, failures)
                check_controls(driver, failures)
                check_width(driver, width, failures)
                check_colours(driver, dark, failures)
                screenshot(driver, arguments.screenshots, "report", width, dark)
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
    failures.end(f"{arguments.report}: wide and narrow, light and dark, with JavaScript and without")


if __name__ == "__main__":
    main()
