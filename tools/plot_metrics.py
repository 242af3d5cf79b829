#!/usr/bin/env python3
"""The learning curve of a run as a picture, from its metrics.csv: training loss of each step, the mean of its
neighbours, and the validation loss of each epoch.

  plot_metrics.py runs/glow/metrics.csv glow.png [--title "glow, 2 epochs"] [--entropy 0.2892]

`--entropy` draws a line at the best loss that there can be. Needs matplotlib: apt install python3-matplotlib, or
pip install matplotlib.
"""
import argparse
import csv

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def read(path):
    """(unit, [(step, training loss)], [(step, validation loss)])"""
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        training = next(name for name in reader.fieldnames if name.startswith("train_"))
        unit = training.removeprefix("train_")
        points = {"train_": [], "val_": []}
        for row in reader:
            for prefix, found in points.items():
                if row[prefix + unit]:
                    found.append((int(row["step"]), float(row[prefix + unit])))
    return {"bpd": "bits/dim"}.get(unit, unit), points["train_"], points["val_"]


def smooth(points, width):
    """Means of `width` neighbours, at the last of them."""
    return [(points[i][0], sum(loss for _, loss in points[i - width + 1:i + 1]) / width)
            for i in range(width - 1, len(points))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics")
    parser.add_argument("out")
    parser.add_argument("--title", default="")
    parser.add_argument("--entropy", type=float)
    options = parser.parse_args()
    unit, training, validation = read(options.metrics)
    mean = smooth(training, max(1, len(training) // 50))

    figure, axes = plt.subplots(figsize=(6, 3.4), dpi=110, layout="constrained")
    axes.plot(*zip(*training), color="0.8", linewidth=0.8, label="training, each step")
    axes.plot(*zip(*mean), color="tab:blue", label="training, mean")
    if validation:
        axes.plot(*zip(*validation), "o-", color="tab:orange", markersize=4, label="validation")
    if options.entropy is not None:
        axes.axhline(options.entropy, color="0.3", linestyle=":", label="entropy of the data")
    # The first steps are far above all others, and would leave no room for these.
    settled = sorted(loss for _, loss in training[len(training) // 20:])
    low = min([settled[0], *(loss for _, loss in validation)], default=settled[0])
    high = settled[int(0.995 * (len(settled) - 1))]
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.set(xlabel="step", ylabel=unit, title=options.title)
    axes.legend(frameon=False)
    figure.savefig(options.out)


main()
