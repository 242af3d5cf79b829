"""Weights between flowsmith and the tutorial's modules in PyTorch (tests/peers/torch_flows.py), both ways: the same
likelihoods for the same noise."""
import pathlib
import sys

import numpy as np
import pytest

import flowsmith

torch = pytest.importorskip("torch")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers"))
import philox  # noqa: E402
import torch_flows  # noqa: E402

SCORING = 3  # NoisePurpose


def noise(images, seed=42):
    one = [philox.uniform(seed, SCORING, 0, i, images[0].size) for i in range(len(images))]
    return torch.from_numpy(np.stack(one).reshape(-1, 1, 28, 28).astype(np.float64))


@pytest.mark.parametrize("model", ["simple", "multiscale"])
def test_weights_there_and_back(model):
    torch.manual_seed(1)
    peer = torch_flows.build(model, "2024").eval()
    with torch.no_grad():
        for parameter in peer.parameters():  # so that every layer acts
            parameter += 0.02 * torch.randn_like(parameter)
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)

    def peer_log_prob():
        with torch.no_grad():
            return peer.double().log_prob(torch.from_numpy(images[:, None]), noise(images)).numpy()

    flow = flowsmith.Flow.from_config(model, seed=3)
    flow.load_state_dict(peer.state_dict())  # its masks are buffers, and right
    # Networks are float in one and double in the other, and the log-determinants of 784 pixels add up.
    np.testing.assert_allclose(flow.log_prob(images), peer_log_prob(), rtol=1e-5)

    other = flowsmith.Flow.from_config(model, seed=9)
    peer.float().load_state_dict({name: torch.from_numpy(v) for name, v in other.state_dict().items()}, strict=False)
    np.testing.assert_allclose(other.log_prob(images), peer_log_prob(), rtol=1e-5)
