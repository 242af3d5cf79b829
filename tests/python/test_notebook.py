"""docs/examples/two_moons.ipynb runs from its first cell to its last, without a window."""
import json
import pathlib

import pytest

matplotlib = pytest.importorskip("matplotlib")

NOTEBOOK = pathlib.Path(__file__).resolve().parents[2] / "docs/examples/two_moons.ipynb"


def test_notebook():
    matplotlib.use("Agg")
    names = {}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), str(NOTEBOOK), "exec"), names)
    assert len(names["losses"]) > 100 and names["losses"][-1] < names["losses"][0]
