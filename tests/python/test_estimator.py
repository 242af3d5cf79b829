"""flowsmith.estimator.FlowDensity as scikit-learn's own checks want it."""
import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from flowsmith.estimator import FlowDensity

SMALL = {
    "name": "density",
    "data": {"type": "vector", "dims": 2, "standardize": True},
    "layers": [{"type": "coupling", "mask": "alternating", "repeat": 2, "conditioner": {"type": "mlp", "hidden": [8]}}],
}


@parametrize_with_checks([FlowDensity(SMALL, epochs=2, batch_size=16)])
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_density_of_a_normal():
    X = np.random.default_rng(0).normal(size=(1000, 2)) * [2, 5] + [10, -3]
    density = FlowDensity(SMALL, epochs=20, random_state=1).fit(X)
    exact = -np.log(2 * np.pi) - np.log(10) - 0.5 * (((X - [10, -3]) / [2, 5]) ** 2).sum(axis=1)
    # A thousand points tell a normal's entropy by 1 / sqrt(1000); ten times that for what is learned.
    assert abs(density.score_samples(X).mean() - exact.mean()) < 0.3
    assert density.score(X) == pytest.approx(density.score_samples(X).sum())
    assert density.sample(500).mean(axis=0) == pytest.approx([10, -3], abs=1.5)


def test_in_pipelines_and_searches():
    X = np.random.default_rng(0).normal(size=(60, 2))
    search = GridSearchCV(make_pipeline(StandardScaler(), FlowDensity(SMALL, epochs=1, batch_size=16)),
                          {"flowdensity__lr": [1e-3, 1e-2]}, cv=2)
    assert search.fit(X).best_params_["flowdensity__lr"] in (1e-3, 1e-2)
