import json

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from stellar.errors import InputError
from stellar.models.mixture import REGULARISATION, Mixture


def clouds(n=600, seed=2):
    rng = np.random.default_rng(seed)
    centre = rng.integers(0, 3, n)[:, None] * np.array([[3.0, -2.0]])
    return centre + rng.normal(size=(n, 2)) @ np.array([[1.0, 0.4], [0.0, 0.7]])


def test_probabilities_are_those_of_scikit_learn():
    matrix = clouds()
    made = Mixture.fit(matrix, 3, seed=5)
    plain = (matrix - made.centre) / made.scale
    theirs = GaussianMixture(3, random_state=5, max_iter=300, reg_covar=REGULARISATION).fit(plain)
    order = np.argsort(theirs.means_[:, 0])
    far = np.vstack([matrix, [[500.0, -300.0], [1e4, 1e4]]])
    expected = theirs.predict_proba((far - made.centre) / made.scale)[:, order]
    np.testing.assert_allclose(made.predict_proba(far), expected, atol=1e-12)


def test_numbers_come_back_to_the_last_bit():
    matrix = clouds()
    made = Mixture.fit(matrix, 2, seed=1)
    again = Mixture.from_dict(json.loads(json.dumps(made.to_dict())))
    assert (again.predict_proba(matrix) == made.predict_proba(matrix)).all()


def test_a_row_that_lacks_a_column_has_no_probabilities():
    matrix = clouds()
    made = Mixture.fit(np.vstack([matrix, [[np.nan, 1.0]]]), 2, seed=1)
    assert np.isnan(made.predict_proba(np.array([[np.nan, 1.0]]))).all()
    with pytest.raises(InputError, match="need 20"):
        Mixture.fit(matrix[:9], 2, seed=1)
