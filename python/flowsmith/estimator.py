"""A density estimator of scikit-learn's kind over a flow of numbers. Needs scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from . import Config, Flow, Trainer, configs


class FlowDensity(DensityMixin, BaseEstimator):
    """fit(X).score_samples(X) for tables of real numbers, N x D.

    `config` is a configuration of a flow of vectors, made fit for D columns and, by default, standardizing them; None:
    couplings with small networks. Columns that are constant, and single columns, have no coupling to go through: D >= 2.
    """

    def __init__(self, config: Config | None = None, *, epochs: int = 50, batch_size: int = 128, lr: float = 2e-3,
                 random_state: int = 0, threads: int = 0) -> None:
        self.config = config
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.random_state = random_state
        self.threads = threads

    def fit(self, X: Any, y: Any = None) -> FlowDensity:
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2, ensure_min_features=2)
        config = configs.complete(_DEFAULT if self.config is None else self.config, shape=(X.shape[1],))
        constant = np.ptp(X, axis=0) == 0
        config["data"]["standardize"] = not constant.any()
        trainer = Trainer(config, X, epochs=self.epochs, batch_size=min(self.batch_size, len(X)), lr=self.lr,
                          seed=self.random_state, threads=self.threads)
        for _ in trainer:
            pass
        self.flow_: Flow = trainer.flow
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """log p(x) of each row, in nats."""
        check_is_fitted(self)
        return self.flow_.log_prob(validate_data(self, X, dtype=np.float64, reset=False))

    def score(self, X: Any, y: Any = None) -> float:
        """The sum of score_samples(X), as other density estimators have it."""
        return float(self.score_samples(X).sum())

    def sample(self, n_samples: int = 1, random_state: int | None = None) -> np.ndarray:
        check_is_fitted(self)
        return self.flow_.sample(n_samples, seed=self.random_state if random_state is None else random_state)


_DEFAULT = {
    "name": "density",
    "data": {"type": "vector", "dims": 2, "standardize": True},
    "layers": [{"type": "coupling", "mask": "alternating", "repeat": 6,
                "conditioner": {"type": "mlp", "hidden": [64, 64]}}],
}
