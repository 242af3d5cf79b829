"""flowsmith.Flow: shapes, types and layouts in, arrays out, errors, and the same numbers by every road."""
import gc
import threading

import numpy as np
import pytest

import flowsmith
from conftest import IMAGES, ROWS


def test_scores_of_images(image_flow, images):
    nats = image_flow.log_prob(images)
    assert nats.shape == (5,) and nats.dtype == np.float64 and (nats < 0).all()
    np.testing.assert_allclose(image_flow.bits_per_dim(images), -nats / (64 * np.log(2)), rtol=1e-14)
    # An example scores the same in any batch, with its number.
    assert image_flow.log_prob(images[3:4], first=3) == nats[3]
    assert (image_flow.log_prob(images, seed=1) != nats).all()
    many = np.tile(images, (30, 1, 1))  # more than one call of the library
    eight = image_flow.log_prob(many, samples=8)
    assert eight.shape == (150,)
    assert image_flow.log_prob(many[70:71], samples=8, first=70) == eight[70]


@pytest.mark.parametrize("view", [
    lambda x: x[..., None], lambda x: x[:, None], lambda x: x.reshape(5, 64), lambda x: x.astype(np.int64),
    lambda x: np.asfortranarray(x), lambda x: x[::-1][::-1], lambda x: x.tolist(),
    lambda x: np.pad(x, ((0, 0), (2, 1), (3, 0)))[:, 2:-1, 3:],
])
def test_images_of_every_layout(image_flow, images, view):
    np.testing.assert_array_equal(image_flow.log_prob(view(images)), image_flow.log_prob(images))


def test_colour_channels_first_or_last(colour_flow):
    images = np.random.default_rng(1).integers(0, 256, (3, 4, 8, 3), dtype=np.uint8)
    first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(colour_flow.log_prob(first), colour_flow.log_prob(images))
    np.testing.assert_array_equal(colour_flow.decode(colour_flow.encode(first)), images)


@pytest.mark.parametrize("view", [
    lambda x: x.astype(np.float64), lambda x: np.asfortranarray(x), lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    lambda x: x.reshape(11, 3, 1), lambda x: x.tolist(),
])
def test_rows_of_every_layout(row_flow, rows, view):
    np.testing.assert_array_equal(row_flow.log_prob(view(rows)), row_flow.log_prob(rows))
    np.testing.assert_array_equal(row_flow.log_prob(view(rows), samples=4), row_flow.log_prob(rows))  # no noise


def test_float32_rows_are_widened(row_flow, rows):
    narrow = rows.astype(np.float32)
    np.testing.assert_array_equal(row_flow.log_prob(narrow), row_flow.log_prob(narrow.astype(np.float64)))


def test_images_come_back(image_flow, images):
    latents = image_flow.encode(images)
    assert {name: z.shape[1:] for name, z in latents.items()} == image_flow.latents
    np.testing.assert_array_equal(image_flow.decode(latents), images[..., None])
    again = image_flow.decode(dict(reversed(latents.items())))
    np.testing.assert_array_equal(again, images[..., None])


def test_rows_come_back(row_flow, rows):
    np.testing.assert_allclose(row_flow.decode(row_flow.encode(rows)), rows, atol=1e-12)  # rounding of doubles
    z, logdet = row_flow.transform(rows)
    x, back = row_flow.transform(z, inverse=True)
    assert z.shape == rows.shape and logdet.shape == (11,) and (logdet != 0).all()
    np.testing.assert_allclose(x, rows, atol=1e-12)
    np.testing.assert_allclose(back, -logdet, atol=1e-12)


def test_samples(image_flow, row_flow):
    samples = image_flow.sample(70, seed=7)
    assert samples.shape == (70, 8, 8, 1) and samples.dtype == np.uint8
    np.testing.assert_array_equal(image_flow.sample(2, seed=7, first=68), samples[68:])
    np.testing.assert_array_equal(image_flow.sample((2, 35), seed=7).reshape(samples.shape), samples)
    assert row_flow.sample().shape == (1, 3) and row_flow.sample(0).shape == (0, 3)
    np.testing.assert_array_equal(image_flow.sample(2, temperature=[0, 0]), image_flow.sample(2, temperature=0.0))
    assert row_flow.event_shape == (3,) and image_flow.event_shape == (8, 8, 1)


def test_nothing_of_nothing(image_flow, row_flow):
    assert image_flow.log_prob(np.zeros((0, 8, 8), np.uint8)).shape == (0,)
    assert row_flow.log_prob(np.zeros((0, 3))).shape == (0,)
    assert image_flow.decode(image_flow.encode(np.zeros((0, 8, 8), np.uint8))).shape == (0, 8, 8, 1)


def test_files_and_state(tmp_path, row_flow, rows):
    row_flow.save(tmp_path / "w.safetensors")
    loaded = flowsmith.Flow.load(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(loaded.log_prob(rows), row_flow.log_prob(rows))
    other = flowsmith.Flow.from_config(ROWS, seed=99)
    assert (other.log_prob(rows) != row_flow.log_prob(rows)).all()
    other.load_state_dict(row_flow.state_dict())
    np.testing.assert_array_equal(other.log_prob(rows), row_flow.log_prob(rows))
    state = row_flow.state_dict()
    assert sum(v.size for v in state.values()) == row_flow.parameter_count
    assert all(v.dtype == np.float32 for v in state.values())
    name = next(iter(state))
    for wrong in [{}, {**state, "stranger": np.zeros(1)}, {**state, name: np.full_like(state[name], np.nan)},
                  {**state, name: state[name][None]}]:
        with pytest.raises(ValueError):
            other.load_state_dict(wrong)
        np.testing.assert_array_equal(other.log_prob(rows), row_flow.log_prob(rows))


def test_pickled(row_flow, rows):
    import pickle
    again = pickle.loads(pickle.dumps(row_flow))
    np.testing.assert_array_equal(again.log_prob(rows), row_flow.log_prob(rows))


def test_what_a_flow_says_of_itself(image_flow):
    assert image_flow.name == "small" and image_flow.takes_images and image_flow.dims == 64
    assert image_flow.config["layers"][1]["type"] == "squeeze"
    assert repr(image_flow).startswith("flow small of 8x8x1 pixels") and "squeeze" in repr(image_flow)


def test_configs():
    assert "moons" in flowsmith.configs and len(flowsmith.configs) > 10 and "moons" in repr(flowsmith.configs)
    moons = flowsmith.configs["moons"]
    moons["layers"][0]["repeat"] = 3
    assert len([k for k in flowsmith.Flow.from_config(moons).state_dict() if k.startswith("flows.3.")]) > 0
    assert flowsmith.configs.complete("glow", shape=(16, 16, 3))["data"]["channels"] == 3
    with pytest.raises(KeyError, match="moon"):
        flowsmith.configs["moon"]


def test_errors(tmp_path, image_flow, row_flow, rows, images):
    for call, what in [
        (lambda: image_flow.log_prob(rows), "uint8"),
        (lambda: image_flow.log_prob(images / 255), "round"),
        (lambda: image_flow.log_prob(images.astype(int) + 200), "0 to 255"),
        (lambda: image_flow.log_prob(images[:, :7]), "N x 8 x 8"),
        (lambda: image_flow.log_prob(images, samples=0), "at least one sample"),
        (lambda: row_flow.log_prob(rows[:, :2]), "N x 3"),
        (lambda: row_flow.log_prob(rows[0]), "N x 3"),
        (lambda: row_flow.log_prob([["a", "b", "c"]]), "real numbers"),
        (lambda: row_flow.bits_per_dim(rows), "log_prob"),
        (lambda: row_flow.sample(-1), "negative"),
        (lambda: row_flow.sample(2, temperature=-1), "temperature"),
        (lambda: row_flow.sample(2, temperature=[1, 1]), "temperature"),
        (lambda: image_flow.decode({}), "missing"),
        (lambda: image_flow.decode({**image_flow.encode(images), "x": images}), "no latent"),
        (lambda: flowsmith.Flow.from_config("no such model"), "no such model"),
        (lambda: flowsmith.Flow.from_config({"name": 3}), "name"),
        (lambda: flowsmith.Flow.from_config("moons", device="abacus"), "abacus"),
        (lambda: flowsmith.Flow.from_config("moons", precision="fp8"), "fp8"),
    ]:
        with pytest.raises(ValueError, match=what):
            call()
    with pytest.raises(OSError, match="No such file"):
        flowsmith.Flow.load(tmp_path / "none")
    (tmp_path / "junk").write_text("junk")
    with pytest.raises(OSError, match="junk"):
        flowsmith.Flow.load(tmp_path / "junk")
    with pytest.raises(OSError):
        row_flow.save(tmp_path / "no" / "folder")
    with pytest.raises(flowsmith.Error, match="not finite"):
        row_flow.log_prob([[1e300, -1e300, 1e300]])


def test_threads(image_flow, images):
    alone = [image_flow.log_prob(images, seed=k) for k in range(4)]
    together = [None] * 4

    def work(k):
        for _ in range(5):
            together[k] = image_flow.log_prob(images, seed=k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(together, alone)


def resident_kib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4


def test_calls_leak_nothing(row_flow, rows):
    state = row_flow.state_dict()

    def calls(n):
        for _ in range(n):
            row_flow.log_prob(rows)
            row_flow.transform(rows)
            row_flow.sample(2)
            row_flow.decode(row_flow.encode(rows))
            try:
                row_flow.log_prob(rows[:, :2])
            except ValueError:
                pass
        row_flow.load_state_dict(state)

    calls(2000)
    gc.collect()
    before = resident_kib()
    calls(20000)  # six calls each, so more than 10^5
    gc.collect()
    # A leak of one result of 88 bytes in each of 10^5 calls were 8 MiB.
    assert resident_kib() - before < 4096


def test_interrupt_is_heard_within_a_second(image_flow):
    import signal
    import time
    images = np.zeros((2_000_000, 8, 8), np.uint8)
    begin = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    old = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        with pytest.raises(KeyboardInterrupt):
            image_flow.log_prob(images)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert time.monotonic() - begin < 1.3


class OnlyDlpack:
    """An array of some other library, which NumPy knows by DLPack alone."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_dlpack(row_flow, image_flow, rows, images):
    np.testing.assert_array_equal(row_flow.log_prob(OnlyDlpack(rows)), row_flow.log_prob(rows))
    np.testing.assert_array_equal(image_flow.log_prob(OnlyDlpack(images)), image_flow.log_prob(images))
    np.testing.assert_array_equal(np.from_dlpack(row_flow.log_prob(rows)), row_flow.log_prob(rows))


def test_torch(row_flow, rows):
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(rows).requires_grad_()
    np.testing.assert_array_equal(row_flow.log_prob(tensor), row_flow.log_prob(rows))
    assert torch.from_dlpack(row_flow.sample(3)).shape == (3, 3)
    state = {name: torch.from_numpy(values) for name, values in row_flow.state_dict().items()}
    other = flowsmith.Flow.from_config(ROWS, seed=9)
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.log_prob(rows), row_flow.log_prob(rows))
