"""Mixed tables: categories, holes, and what is expected of each cell."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from common import SMALL, UNEQUAL, WEIGHTS, factor_table, in_domain
from scipy.stats import norm
from sklearn.base import clone

from skvae import VAETransformer
from skvae._table import read_table
from skvae.nn import LIKELIHOODS


@pytest.fixture(scope="module")
def mixed(frame):
    """`frame` with an index, a column of text, one of ordered sizes, one of counts, and holes."""
    size = pd.cut(frame["d"], [-np.inf, -1000, 0, np.inf], labels=["s", "m", "l"])
    text = np.where(frame["b"] > 1, "high", np.where(frame["e"] > 5, "low", "rare"))
    X = frame.assign(text=text, size=size, visits=np.exp(frame["b"]).round())
    return X.mask(np.random.default_rng(0).random(X.shape) < 0.1)


CHOSEN = {"visits": "negative_binomial", "a": "student_t"}


@pytest.fixture(scope="module")
def mixed_model(mixed):
    return VAETransformer(likelihoods=CHOSEN, **SMALL | {"max_steps": 300}).fit(mixed)


def test_noise_models_follow_the_kinds_of_columns(mixed_model):
    got = {column.name: column.likelihood for column in mixed_model.table_.columns_}
    expected = {"flag": "bernoulli", "text": "categorical", "size": "ordinal"}
    assert got == dict.fromkeys("bcde", "heteroscedastic_student_t") | CHOSEN | expected


ages = np.random.default_rng(0).integers(18, 90, 400)
LIKE_OTHER_NUMBERS = {
    "ages": ages,
    "one of them wrong": np.where(np.arange(400) == 7, 65_511, ages),
    "some of them missing": pd.array(np.where(np.arange(400) % 9, ages, None), dtype="Int64"),
    "beyond 2**53": 2**62 + ages,
    "on both sides of 0": np.random.default_rng(0).normal(0, 20, 400).astype(int),
}
OF_THEIR_OWN_KIND = {
    "counts": np.random.default_rng(0).poisson(1, 400),
    "bytes": np.random.default_rng(0).lognormal(6, 2, 400).astype(int),
    "one value": np.full(400, 3),
    "none": pd.array([None] * 400, dtype="Int64"),
}


@pytest.mark.parametrize(
    ("integers", "expected"),
    [
        *((cells, "heteroscedastic_student_t") for cells in LIKE_OTHER_NUMBERS.values()),
        *((cells, "spike_slab") for cells in OF_THEIR_OWN_KIND.values()),
    ],
    ids=[*LIKE_OTHER_NUMBERS, *OF_THEIR_OWN_KIND],
)
@pytest.mark.filterwarnings("ignore:No cell of .x.")
def test_integers_are_as_other_numbers_unless_one_repeats_or_they_have_a_long_tail(
    integers, expected
):
    X = pd.DataFrame({"x": integers, "y": ages.astype(float)})
    model = VAETransformer(**SMALL | {"max_steps": 1}).fit(X)
    assert model.table_.columns_[0].likelihood == expected


def test_explanations_of_a_mixed_table_add_up(mixed_model, mixed):
    total = mixed_model.negative_elbo(mixed)
    assert np.isfinite(total).all()
    parts, rest = mixed_model.explain(mixed, return_rest=True)
    np.testing.assert_allclose(parts.sum(axis=1) + rest.sum(axis=1), total, rtol=1e-9)


def test_polars_and_pandas_tables_get_the_same_scores(mixed_model, mixed):
    X = pl.from_pandas(mixed)
    np.testing.assert_array_equal(mixed_model.negative_elbo(X), mixed_model.negative_elbo(mixed))
    parts = mixed_model.explain(X)
    assert isinstance(parts, pd.DataFrame)
    assert list(parts.columns) == list(mixed.columns)


def test_an_unseen_level_is_odd_but_no_error(mixed_model, mixed):
    rows = mixed.dropna().iloc[:20]
    unseen = rows.assign(text="never seen", size="xxl")
    rise = mixed_model.negative_elbo(unseen) - mixed_model.negative_elbo(rows)
    assert np.isfinite(rise).all()
    assert (rise > 3).all()
    column = next(c for c in mixed_model.table_.columns_ if c.name == "text")
    floor = np.log(column.n_observed + len(column.levels) + 1)
    parts = mixed_model.explain(unseen)["text"] + mixed_model.baseline_[list(mixed).index("text")]
    np.testing.assert_allclose(parts, floor, rtol=1e-9)


def test_samples_of_a_mixed_table_hold_what_its_columns_hold(mixed_model, mixed):
    rows = mixed_model.sample(200, random_state=0)
    assert set(rows["text"]) <= {"high", "low", "rare"}
    assert rows["size"].dtype == mixed["size"].dtype
    assert rows["flag"].dtype == bool
    assert (rows["visits"] % 1 == 0).all()
    assert np.isfinite(mixed_model.score_samples(rows)).all()


def test_arrays_of_objects_are_mixed_tables_too(mixed_model, mixed):
    names = dict(enumerate(mixed.columns))
    chosen = {position: CHOSEN.get(name, "auto") for position, name in names.items()}
    chosen[list(mixed).index("size")] = "categorical"
    X = mixed.to_numpy(dtype=object)
    model = VAETransformer(likelihoods=chosen, **SMALL).fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    rows = model.sample(5, random_state=0)
    assert rows.dtype == object
    assert set(rows[:, list(mixed).index("text")]) <= {"high", "low", "rare"}
    assert model.inverse_transform(model.transform(X)).shape == X.shape


def test_ten_thousand_levels_are_fitted_with_a_bounded_model():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"id": rng.permutation(10_000).astype(str), "x": rng.normal(size=10_000)})
    params = {"hidden_layer_sizes": (16,), "max_steps": 5, "random_state": 0}
    model = VAETransformer(likelihoods={"id": "categorical"}, **params).fit(X)
    assert max(max(weight.shape) for weight in model.model_.parameters()) <= 200
    assert model.score_samples(X.assign(id="new")).max() < model.score_samples(X).max()


def test_filled_tables_hold_the_observed_cells_and_no_hole(mixed_model, mixed):
    filled = mixed_model.impute(mixed)
    assert list(filled.columns) == list(mixed.columns)
    assert (filled.index == mixed.index).all()
    assert not filled.isna().any().any()
    seen = mixed.notna()
    assert (filled.astype(object).where(seen) == mixed.astype(object))[seen].all().all()
    assert filled["flag"].dtype == bool
    assert (filled["visits"] % 1 == 0).all()
    assert np.isfinite(mixed_model.score_samples(filled)).all()


def test_guesses_are_nearer_to_the_truth_than_means_and_modes(mixed_model, mixed, frame):
    hidden = mixed["c"].isna()
    error = (mixed_model.impute(mixed)["c"] - frame["c"])[hidden].abs().mean()
    assert error < 0.7 * (frame["c"].mean() - frame["c"])[hidden].abs().mean()
    hidden = mixed["flag"].isna()
    right = (mixed_model.impute(mixed)["flag"] == frame["flag"])[hidden].mean()
    assert right > max(frame["flag"].mean(), 1 - frame["flag"].mean())


def test_drawn_tables_vary_in_the_holes_alone_around_the_guess(mixed_model, mixed):
    first, *others = mixed_model.impute(mixed, n_draws=30, random_state=0)
    again = mixed_model.impute(mixed, n_draws=1, random_state=0)
    pd.testing.assert_frame_equal(again[0], first)
    hidden = mixed["c"].isna()
    draws = np.array([table["c"] for table in (first, *others)])
    assert (draws.std(axis=0)[hidden] > 0).all()
    assert (np.ptp(draws, axis=0)[~hidden] == 0).all()
    error = draws.mean(axis=0)[hidden] - mixed_model.impute(mixed)["c"][hidden]
    assert np.abs(error).mean() < 0.5 * draws.std(axis=0)[hidden].mean()


def test_filling_a_whole_array_gives_it_back(model, table):
    np.testing.assert_array_equal(model.impute(table), table)


def test_too_few_draws_are_refused(model, table):
    with pytest.raises(ValueError, match=r"'n_draws' .* an int in the range \[1, 2\*\*63\)"):
        model.impute(table, n_draws=0)


@pytest.mark.filterwarnings("ignore:No hole of")
def test_modelled_holes_say_what_they_are_worth(table):
    X = table.copy()
    X[X[:, 1] > 1, 0] = np.nan  # missing because of another column
    ignoring = VAETransformer(max_steps=300, members=["plain"], random_state=0).fit(X)
    modelling = clone(ignoring).set_params(missing="model").fit(X)
    assert modelling.table_.masked_.tolist() == [0]
    rows = table[(table[:, 1] > 1.5) | (table[:, 1] < 0.5)]
    swapped = rows.copy()
    swapped[rows[:, 1] < 0.5, 0] = np.nan  # neither these cells missing nor those observed
    rise = modelling.explain(swapped)[:, 0]
    assert np.median(rise) > np.median(ignoring.explain(swapped)[:, 0]) + 1
    assert modelling.explain(X).shape == ignoring.explain(X).shape
    total = modelling.negative_elbo(X)
    parts, rest = modelling.explain(X, return_rest=True)
    np.testing.assert_allclose(parts.sum(axis=1) + rest.sum(axis=1), total, rtol=1e-9)
    assert not np.isnan(modelling.impute(X)).any()


@pytest.mark.filterwarnings("ignore:No hole of")
def test_without_holes_there_is_nothing_to_model(model, table):
    modelling = clone(model).set_params(missing="model").fit(table)
    np.testing.assert_array_equal(modelling.score_samples(table), model.score_samples(table))


def test_a_linear_model_expects_normal_cells():
    X = factor_table(UNEQUAL, 500)
    params = SMALL | {"hidden_layer_sizes": (), "n_draws": 512, "likelihoods": "gaussian"}
    model = VAETransformer(latent_dim=3, robust_weight=0, **params).fit(X)
    expected = model.expected(X[:20], coverage=0.8)
    (block,), (_, decoder) = model.model_.likelihood.blocks, model.model_.decoder
    noise = block(torch.zeros(1, 6, 1)).scale[0].numpy()
    x = torch.tensor(model.table_.encode(read_table(X[:20])).values)
    for j, column in enumerate(model.table_.columns_):
        others = torch.ones_like(x)
        others[:, j] = 0
        q, weight = model.model_.infer(x, others), decoder.weight[j]
        mean = (q.mean @ weight + decoder.bias[j]).numpy()
        scale = np.sqrt((q.variance @ weight**2).numpy() + noise[j] ** 2)
        unit = column.scale * 2.0**column.exponent
        encoded = (expected[j] - column.loc * 2.0**column.exponent) / unit
        np.testing.assert_allclose(encoded["expected"], mean, atol=1e-9)
        for end, side in (("lower", -1), ("upper", 1)):
            np.testing.assert_allclose(
                (encoded[end] - mean) / scale, side * norm.ppf(0.9), rtol=0.02
            )


def test_what_is_expected_of_a_cell_is_what_fills_it_if_hidden(mixed_model, mixed):
    rows = mixed[:40]
    expected = mixed_model.expected(rows)
    assert (expected.index == rows.index).all()
    for name in mixed.columns:
        filled = mixed_model.impute(rows.assign(**{name: rows[name].mask(rows[name].notna())}))
        pd.testing.assert_series_equal(
            expected[name, "expected"], filled[name], check_names=False, rtol=1e-12
        )


def test_columns_of_numbers_have_intervals_and_others_probabilities(mixed_model, mixed):
    rows = mixed[:100]
    expected = mixed_model.expected(rows)
    assert expected.columns.names == ["column", "field"]
    for name in rows.columns:
        fields, seen = expected[name], rows[name].notna()
        if name in ("flag", "text", "size"):
            assert list(fields) == ["expected", "probability"]
            assert (fields["probability"].notna() == seen).all()
            assert fields["probability"][seen].between(0, 1).all()
        else:
            assert list(fields) == ["expected", "lower", "upper"]
            assert (fields["lower"] <= fields["upper"]).all()
            inside = rows[name].between(fields["lower"] - 1e-9, fields["upper"] + 1e-9)
            assert inside[seen].mean() > 0.75
    counts = expected["visits"]
    assert (counts % 1 == 0).all().all()


def test_probabilities_of_all_levels_add_up_to_1(mixed_model, mixed):
    rows = mixed[:20]
    for name, levels in {"flag": [True, False], "text": ["high", "low", "rare", "?"]}.items():
        tables = [rows.assign(**{name: level}) for level in levels]
        parts = [mixed_model.expected(X)[name, "probability"] for X in tables]
        np.testing.assert_allclose(sum(parts), 1, rtol=1e-9)


def test_wider_intervals_contain_narrower_ones(model, holed):
    narrow, wide = (model.expected(holed[:50], coverage=c) for c in (0.5, 0.99))
    for j in range(holed.shape[1]):
        assert (wide[j, "lower"] < narrow[j, "lower"]).all()
        assert (narrow[j, "upper"] < wide[j, "upper"]).all()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_expected_cells_do_not_depend_on_other_rows_or_their_own_value(table, likelihood):
    X = in_domain(table, likelihood)
    model = VAETransformer(likelihoods=likelihood, **SMALL).fit(X)
    expected = model.expected(X[:30])
    assert not expected.isna().any().any()
    again = model.expected(X[29::-1])[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, expected, rtol=1e-6)
    other = X[:30].copy()
    other[:, 2] = X[30:60, 2]
    fields = ["expected", *(f for f in ("lower", "upper") if f in expected[2])]
    pd.testing.assert_frame_equal(model.expected(other)[2][fields], expected[2][fields])


def test_both_members_have_their_share_in_what_is_expected(table):
    parts = [
        VAETransformer(robust_weight=w, likelihoods="gaussian", **SMALL).fit(table) for w in WEIGHTS
    ]
    for guess in (
        lambda model: model.expected(table[:9]).xs("expected", axis=1, level=1).to_numpy(),
        lambda model: model.impute(np.where(np.eye(5) > 0, np.nan, table[:5])),
    ):
        main, both, robust = map(guess, parts)
        np.testing.assert_allclose(both, 0.75 * main + 0.25 * robust)


@pytest.mark.parametrize("coverage", [0, 1, 90])
def test_coverage_is_a_share(model, table, coverage):
    with pytest.raises(ValueError, match=r"'coverage' .* must be a float in the range \(0, 1\)"):
        model.expected(table, coverage=coverage)
