"""What the tests of the Python module share: small flows in which every layer acts, and data."""
import numpy as np
import pytest

import flowsmith

IMAGES = {
    "name": "small",
    "data": {"type": "image8", "height": 8, "width": 8},
    "layers": [
        {"type": "coupling", "conditioner": {"type": "gated_resnet", "hidden": 4, "blocks": 1}},
        {"type": "squeeze"},
        {"type": "split"},
        {"type": "coupling", "mask": "channel", "conditioner": {"type": "gated_resnet", "hidden": 4, "blocks": 1}},
    ],
}
COLOUR = {**IMAGES, "data": {"type": "image8", "height": 4, "width": 8, "channels": 3}}
ROWS = {
    "name": "rows",
    "data": {"type": "vector", "dims": 3},
    "layers": [{"type": "coupling", "mask": "alternating", "repeat": 2, "conditioner": {"type": "mlp", "hidden": [8]}}],
}


def disturbed(config):
    """A flow whose weights are all moved from where a new one has them."""
    flow = flowsmith.Flow.from_config(config, seed=5)
    random = np.random.default_rng(3)
    flow.load_state_dict({name: values + random.uniform(-0.05, 0.05, values.shape).astype(np.float32)
                          for name, values in flow.state_dict().items()})
    return flow


@pytest.fixture(scope="session")
def image_flow():
    return disturbed(IMAGES)


@pytest.fixture(scope="session")
def colour_flow():
    return disturbed(COLOUR)


@pytest.fixture(scope="session")
def row_flow():
    return disturbed(ROWS)


@pytest.fixture
def images():
    return np.random.default_rng(1).integers(0, 256, (5, 8, 8), dtype=np.uint8)


@pytest.fixture
def rows():
    return np.random.default_rng(1).normal(size=(11, 3))
