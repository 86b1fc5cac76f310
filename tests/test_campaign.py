"""Tables of every mix of dtypes: what is fitted is scored, explained, filled, drawn and saved."""

import warnings

import numpy as np
import pandas as pd
import pytest
from common import SMALL, long_run
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import skvae
from skvae import VAEAnomalyDetector

TINY = SMALL | {"max_steps": 2, "hidden_layer_sizes": (4,), "robust_weight": 0, "cv": None}
NUMBERS = st.floats(allow_infinity=False, width=64) | st.sampled_from([0.0, 1.0, 1e-310, 1e300])
LARGE = st.integers(2**53, 2**63 - 1)
TEXTS = st.sampled_from(["a", "b", "", "1", "01", "1.0", "True", "nan", "ä", "\0"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=3
)
CELLS = {  # strategy of a cell, and the dtypes that it may be in
    "float": (NUMBERS, ["float64", "Float64", "double[pyarrow]", object]),
    "float32": (st.floats(-(2.0**99), 2.0**99, width=32), ["float32", "Float32", "float[pyarrow]"]),
    "byte": (st.integers(0, 255), ["uint8", "UInt8", "uint8[pyarrow]", "int64", object]),
    "integer": (st.integers(-5, 5) | LARGE, ["int64", "Int64", "int64[pyarrow]", object]),
    "unsigned": (st.integers(0, 3) | st.integers(2**63, 2**64 - 1), ["uint64", "UInt64", object]),
    "flag": (st.booleans(), ["bool", "boolean", "bool[pyarrow]", object]),
    "text": (TEXTS, ["str", "string", object, "category"]),
    "number as level": (st.integers(0, 3) | LARGE, ["category"]),
    "mixed": (st.integers(0, 2) | TEXTS | st.booleans(), [object]),
}
WITH_HOLES = (object, "category", "str", "string", "float64", "float32")


@st.composite
def columns(draw, n):
    """One column of n cells, some of which may be missing."""
    cells, dtypes = CELLS[draw(st.sampled_from(sorted(CELLS)))]
    dtype = draw(st.sampled_from(dtypes))
    pool = draw(st.lists(cells, min_size=1, max_size=4))
    values = draw(st.lists(st.sampled_from(pool), min_size=n, max_size=n))
    has_place = dtype in WITH_HOLES or "[" in str(dtype) or str(dtype)[0].isupper()
    if has_place or dtype == "boolean":
        holes = draw(st.sets(st.integers(0, n - 1), max_size=n))
        values = [None if row in holes else cell for row, cell in enumerate(values)]
    return pd.Series(pd.Series(values, dtype=object), dtype=dtype)


@st.composite
def tables(draw):
    """A table to fit, and the rows of it to ask about."""
    n = draw(st.sampled_from([2, 3, 7, 25]))
    own = draw(st.lists(columns(n), min_size=1, max_size=4))
    X = pd.DataFrame({f"c{j}": cells for j, cells in enumerate(own)})
    rows = draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=3))
    return X, rows


def check(X, rows, missing, n_context, by_group, folder):
    """Fit a table and ask everything of some rows; only ValueError and TypeError may be raised."""
    context, groups = list(X)[:n_context], list(X)[:1] if by_group else None
    model = VAEAnomalyDetector(
        **TINY, missing=missing, context=context or None, calibration_groups=groups
    )
    try:
        model.fit(X)
    except (ValueError, TypeError):
        return
    asked = X.iloc[rows]
    scores = model.score_samples(asked)
    assert np.isfinite(scores).all()
    parts, rest = model.explain(asked, return_rest=True)
    total = -model.negative_elbo(asked)
    sums = -(parts.sum(axis=1) + rest.sum(axis=1)).to_numpy()
    np.testing.assert_allclose(sums, total, rtol=1e-4, atol=1e-4)
    assert (parts[context] == 0).all(axis=None)
    known = np.delete(np.arange(X.shape[1]), [*model.table_.unknown_, *model.table_.context_])
    filled = model.impute(asked)
    assert not filled.iloc[:, known].isna().any(axis=None)
    assert_kept(asked, filled)
    given = {"context": asked} if context else {}
    drawn = model.sample(len(asked), random_state=0, **given)
    like = model.augment(asked, random_state=0)
    for made in (drawn, like):
        assert list(made.columns) == list(X.columns)
        assert not made.iloc[:, known].isna().any(axis=None)
        assert_kept(asked[context], made[context])
    model.expected(asked)
    repaired, changed = model.repair(asked, return_cells=True)
    assert_kept(asked.mask(changed), repaired.mask(changed))
    path = folder / "model.skvae"
    skvae.save(model, path)
    again = skvae.load(path)
    np.testing.assert_array_equal(again.score_samples(asked), scores)
    pd.testing.assert_frame_equal(again.impute(asked), filled)


def assert_kept(asked, filled):
    """Observed cells are in the filled table, as the same values."""
    for name in asked:
        seen = asked[name].notna().to_numpy()
        before, after = (X[name].astype(object)[seen].tolist() for X in (asked, filled))
        assert before == after


def campaign(n_examples):
    return settings(
        max_examples=n_examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


CASES = (
    tables(),
    st.sampled_from(["ignore", "model"]),
    st.sampled_from([0, 0, 1, 2]),
    st.booleans(),
)


@seed(0)
@campaign(40)
@given(*CASES)
def test_tables_of_every_mix_of_dtypes(tmp_path_factory, table, missing, n_context, by_group):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        check(*table, missing, n_context, by_group, tmp_path_factory.getbasetemp())


@pytest.mark.slow
@seed(1)
@campaign(long_run(40))
@given(*CASES)
def test_many_tables_of_every_mix_of_dtypes(tmp_path_factory, table, missing, n_context, by_group):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        check(*table, missing, n_context, by_group, tmp_path_factory.getbasetemp())
