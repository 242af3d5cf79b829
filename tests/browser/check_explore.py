#!/usr/bin/env python3
"""Plays with the page of flowsmith explore as people do, in headless Chromium.

  check_explore.py FLOWSMITH WEIGHTS [--score] [--screenshots FOLDER]

Starts `FLOWSMITH explore` on WEIGHTS; draws and moves every slider of a flow of images, or drags the point of a flow
of the plane; and checks that pictures and numbers follow, that the score of an example is the one that
`flowsmith score` writes, that the console stays empty and that nothing but the page's own server is asked. Exit code 1
says what is wrong; 77 that there is no Chromium or Selenium here.
"""
import argparse
import csv
import io
import pathlib
import re
import signal
import subprocess

from chromium import (WIDTHS, Failures, browser, check_colours, check_loading, check_width, require_browser,
                      screenshot)
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PIXELS = "return document.getElementById(arguments[0]).toDataURL()"
PATIENCE = 60  # seconds: two cores may be busy with other tests


class Page:
    def __init__(self, driver, failures):
        self.driver, self.failures = driver, failures

    def find(self, css):
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def pixels(self, canvas):
        return self.driver.execute_script(PIXELS, canvas)

    def wait(self, ready, what):
        try:
            WebDriverWait(self.driver, PATIENCE).until(lambda _: ready())
        except Exception:
            self.failures.append(what)

    def changes(self, canvas, action, what):
        before = self.pixels(canvas)
        action()
        self.wait(lambda: self.pixels(canvas) != before, f"{what} does not change the picture")

    def press(self, css, key, times=1):
        self.find(css).send_keys(*[key] * times)

    def bits(self):
        """The score with eight samples, or nothing as long as there is none."""
        output = self.find("#bits")
        return output.text if output.get_attribute("data-samples") == "8" else ""


def play_with_images(page, score):
    page.wait(lambda: page.bits() not in ("", "-"), "the example has no score")
    if score is not None:
        page.failures.check(abs(float(page.bits()) - score) <= 0.00005,
                            f"the page says {page.bits()} and flowsmith score {score}")
    page.wait(lambda: "the same pixels" in page.find("#decoded-text").text, "latents do not decode to the image")
    page.failures.check(page.pixels("decoded") == page.pixels("drawing"), "the decoded picture is another one")
    page.wait(lambda: len(page.pixels("gradient")) > 500, "there is no gradient")  # of one colour it has about 130 bytes

    page.changes("sample", lambda: page.press(".temperature", Keys.ARROW_LEFT, 8), "a temperature")
    page.changes("sample", lambda: page.find("#another").click(), "another sample")
    page.changes("between", lambda: page.press("#way", Keys.HOME), "the way between two images")
    page.wait(lambda: page.pixels("between") == page.pixels("first"), "the way does not begin at the first image")
    page.press("#way", Keys.END)
    page.wait(lambda: page.pixels("between") == page.pixels("second"), "the way does not end at the second image")
    page.changes("changed", lambda: page.press("#by", Keys.ARROW_RIGHT, 20), "a channel of a latent")

    before = page.bits()
    canvas = page.find("#drawing")
    page.changes("drawing", lambda: ActionChains(page.driver).move_to_element(canvas).click_and_hold()
                 .move_by_offset(40, 30).move_by_offset(-50, 10).release().perform(), "drawing")
    page.wait(lambda: page.bits() not in ("", before), "drawing does not change the score")
    page.changes("drawing", lambda: page.find("#clear").click(), "clearing")


def play_with_the_plane(page):
    page.wait(lambda: page.find("#log-prob").text not in ("", "-"), "the point has no density")
    before = page.find("#place").text
    canvas = page.find("#density")
    page.changes("density", lambda: ActionChains(page.driver).move_to_element(canvas).click_and_hold()
                 .move_by_offset(30, -20).release().perform(), "dragging the point")
    page.wait(lambda: page.find("#place").text != before, "dragging does not move the point")
    before = page.find("#place").text
    page.press("#density", Keys.ARROW_UP, 3)
    page.wait(lambda: page.find("#place").text != before, "arrow keys do not move the point")
    steps = page.driver.find_elements(By.CSS_SELECTOR, "#steps canvas")
    page.failures.check(len(steps) >= 2 and all(s.get_attribute("data-x") for s in steps), "a layer shows no point")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("flowsmith")
    parser.add_argument("weights")
    parser.add_argument("--score", action="store_true", help="hold its score against that of flowsmith score")
    parser.add_argument("--screenshots", type=pathlib.Path)
    arguments = parser.parse_args()
    require_browser()
    failures, score = Failures(), None
    if arguments.score:
        table = subprocess.run([arguments.flowsmith, "score", "--weights", arguments.weights, "--limit", "1"],
                               check=True, capture_output=True, text=True).stdout
        score = float(next(csv.DictReader(io.StringIO(table[table.index("index"):])))["bits_per_dim"])
    server = subprocess.Popen([arguments.flowsmith, "explore", "--weights", arguments.weights],
                              stdout=subprocess.PIPE, text=True)
    try:
        address = next(re.search(r"http://\S+", line)[0] for line in server.stdout if "http://" in line)
        for width in WIDTHS:
            for dark in (False, True):
                driver = browser(width, dark)
                try:
                    driver.get(address)
                    page = Page(driver, failures)
                    page.wait(lambda: page.find("#images").is_displayed() or page.find("#plane").is_displayed(),
                              "neither images nor a plane")
                    if page.find("#images").is_displayed():
                        play_with_images(page, score)
                    else:
                        play_with_the_plane(page)
                    failures.check("error" not in page.find("#about").get_attribute("class"), page.find("#about").text)
                    check_loading(driver, address, failures)
                    check_width(driver, width, failures)
                    check_colours(driver, dark, failures)
                    driver.execute_script("scrollTo(0, 0)")
                    screenshot(driver, arguments.screenshots, "explore", width, dark)
                finally:
                    driver.quit()
    finally:
        server.send_signal(signal.SIGINT)
        failures.check(server.wait(20) == 0, "Ctrl-C does not end the server cleanly")
    failures.end(f"explore {arguments.weights}: wide and narrow, light and dark")


if __name__ == "__main__":
    main()
