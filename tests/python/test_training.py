"""Training from Python: iteration, callbacks, pauses, and the same bits every time."""
import numpy as np
import pytest

import flowsmith
from conftest import IMAGES, ROWS

QUICK = dict(epochs=3, batch_size=8, lr=0.01)


def weights(flow):
    return np.concatenate([v.ravel() for v in flow.state_dict().values()])


@pytest.fixture
def table():
    return np.random.default_rng(2).normal(size=(40, 3)) * 3 + 1


def test_iteration_and_callback_take_the_same_steps(table):
    trainer = flowsmith.Trainer(ROWS, table, **QUICK)
    assert trainer.steps_per_epoch == 5 and trainer.total_steps == 15 and trainer.learning_rate == 0.01
    losses = [step.loss for step in trainer]
    assert len(losses) == 15 and trainer.done and losses[-1] < losses[0]
    seen = []
    flow = flowsmith.train(ROWS, table, callback=seen.append, **QUICK)
    assert [step.loss for step in seen] == losses and [step.step for step in seen] == list(range(1, 16))
    assert all(step.gradient_norm > 0 for step in seen)
    np.testing.assert_array_equal(weights(flow), weights(trainer.flow))
    early = flowsmith.train(ROWS, table, callback=lambda step: step.step < 4, **QUICK)
    assert (weights(early) != weights(flow)).any()


def test_a_resumed_training_ends_with_the_bytes_of_the_unbroken_one(tmp_path, table):
    unbroken, first, second = (flowsmith.Trainer(ROWS, table, **QUICK) for _ in range(3))
    for _ in range(7):
        unbroken.step()
    for _ in range(4):
        first.step()
    first.checkpoint(tmp_path / "c")
    second.resume(tmp_path / "c")
    for _ in range(3):
        second.step()
    unbroken.checkpoint(tmp_path / "a")
    second.checkpoint(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = flowsmith.Flow.load(tmp_path / "b")
    np.testing.assert_array_equal(loaded.log_prob(table), second.flow.log_prob(table))


def test_the_model_takes_the_shape_of_the_data():
    random = np.random.default_rng(1)
    grey = flowsmith.Trainer(IMAGES, random.integers(0, 256, (10, 4, 4), dtype=np.uint8), **QUICK)
    assert grey.flow.event_shape == (4, 4, 1)
    colour = flowsmith.Trainer(IMAGES, random.integers(0, 256, (10, 3, 4, 8), dtype=np.uint8), **QUICK)
    assert colour.flow.event_shape == (4, 8, 3)
    assert np.isfinite(colour.step().loss)
    wide = flowsmith.Trainer("moons", random.normal(size=(20, 2)), batch_size=10)
    assert wide.flow.dims == 2 and "moons" in repr(wide)


def test_a_flow_outlives_its_trainer(table):
    flow = flowsmith.train(ROWS, table.copy(), **QUICK)
    assert np.isfinite(flow.log_prob(table)).all()


def test_trainings_that_cannot_be(tmp_path, table):
    for data, options, what in [
        (table[:4], QUICK, "fewer than a batch"),
        (table, dict(lr=-1.0), "learning rate"),
        (table.astype(complex), QUICK, "real numbers"),
        (np.zeros((9, 8, 8), np.uint8), QUICK, "numbers"),
    ]:
        with pytest.raises(ValueError, match=what):
            flowsmith.Trainer(ROWS, data, **options)
    trainer = flowsmith.Trainer(ROWS, table, **QUICK)
    with pytest.raises(OSError):
        trainer.resume(tmp_path / "none")
    table[7, 1] = np.nan
    with pytest.raises(flowsmith.Error, match="not finite"):
        for _ in flowsmith.Trainer(ROWS, table, **QUICK):
            pass
