"""A model that scores blocks wherever it is sent."""

import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from common import SMALL, run

import skvae
from skvae import VAEClassifier, VAETransformer
from skvae._scoring import scorer as module

FEATURES = [*"abcde", "flag"]


@pytest.fixture(scope="module")
def scorer(model_file):
    return skvae.BlockScorer(model_file, keep=["id"])


@pytest.fixture(scope="module")
def expected(model_file, keyed):
    detector, X = skvae.load(model_file), keyed[FEATURES]
    scores = {"anomaly_score": detector.negative_elbo(X), "flagged": detector.predict(X) == -1}
    return pd.DataFrame({"id": keyed["id"], **scores})


CONTAINERS = {
    "pandas": lambda X: X,
    "table": lambda X: pa.Table.from_pandas(X),
    "batch": lambda X: pa.RecordBatch.from_pandas(X),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_row_has_its_score_whatever_its_block_and_container(scorer, keyed, expected, kind):
    blocks = [CONTAINERS[kind](keyed[i : i + 90]) for i in range(0, len(keyed), 90)]
    results = list(scorer(iter(blocks)))
    assert {type(result) for result in results} == {type(blocks[0])}
    frames = [result if kind == "pandas" else result.to_pandas() for result in results]
    scores = pd.concat(frames, ignore_index=kind != "pandas")
    pd.testing.assert_frame_equal(scores, expected, check_exact=True)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_block_without_rows_has_the_columns_of_others(model_file, keyed, kind):
    scorer = skvae.BlockScorer(model_file, keep=["id"], p_values=True)
    some, none = (scorer(CONTAINERS[kind](keyed[:n])) for n in (5, 0))
    assert len(none) == 0
    if kind == "pandas":
        pd.testing.assert_series_equal(some.dtypes, none.dtypes)
    else:
        assert some.schema.names == none.schema.names
        assert some.schema.types[1:] == none.schema.types[1:]
    with pytest.raises(ValueError, match="there is no column 'c'"):
        scorer(keyed[:0].drop(columns="c"))


def test_what_is_kept_stays_of_its_type(model_file, keyed):
    kinds = pa.array(["u", "v"] * 200).dictionary_encode()
    table = pa.Table.from_pandas(keyed).append_column("kind", kinds)
    whole = pa.array([2**60 + 1, None] * 200)
    scores = skvae.BlockScorer(model_file, ["kind", "n"])(table.append_column("n", whole))
    assert scores.schema.types[:2] == [kinds.type, pa.int64()]
    assert scores["n"][0].as_py() == 2**60 + 1


def test_a_copy_needs_no_file_and_a_process_loads_it_once(scorer, keyed, tmp_path, monkeypatch):
    path = tmp_path / "model.skvae"
    path.write_bytes(scorer._content)
    sent = pickle.dumps(skvae.BlockScorer(path, keep=["id"]))
    path.unlink()
    monkeypatch.setattr(module, "_MODELS", type(module._MODELS)())
    loads, load = [], module.load
    monkeypatch.setattr(module, "load", lambda path: loads.append(path) or load(path))
    copies = [pickle.loads(sent) for _ in range(3)]
    for copy in copies:
        pd.testing.assert_frame_equal(copy(keyed), scorer(keyed), check_exact=True)
    assert len(loads) == 1


def test_few_models_stay_in_a_process(scorer, monkeypatch):
    monkeypatch.setattr(module, "_MODELS", type(module._MODELS)())
    for number in range(9):
        module._remember(str(number), number)
    assert list(module._MODELS.values()) == [5, 6, 7, 8]


WRONG = {
    "a dict": (lambda X: X.to_dict("list"), TypeError, 'batch_format="pyarrow"'),
    "no column": (lambda X: X.drop(columns="a"), ValueError, "there is no column 'a'"),
    "no key": (lambda X: X.drop(columns="id"), ValueError, "there is no column 'id'"),
    "a cell": (lambda X: X.assign(c=[np.inf] * len(X)), ValueError, "Column 'c' .* in row 0"),
}


@pytest.mark.parametrize(("change", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_blocks_are_named(scorer, keyed, change, error, message):
    with pytest.raises(error, match=message):
        scorer(change(keyed[:3]))


def test_wrong_arguments_are_named(model_file, model, tmp_path):
    with pytest.raises(TypeError, match=r"keep must be a list of names. Got 'id': write \['id'\]"):
        skvae.BlockScorer(model_file, keep="id")
    with pytest.raises(FileNotFoundError, match="none"):
        skvae.BlockScorer(tmp_path / "none")
    (tmp_path / "no.skvae").write_text("no")
    with pytest.raises(ValueError, match=r"no\.skvae is no file of skvae\.save"):
        skvae.BlockScorer(tmp_path / "no.skvae")
    skvae.save(model, tmp_path / "codes.skvae")
    with pytest.raises(ValueError, match=r"codes\.skvae is a VAETransformer, which has no p-val"):
        skvae.BlockScorer(tmp_path / "codes.skvae", p_values=True)
    assert "codes.skvae" in repr(skvae.BlockScorer(tmp_path / "codes.skvae"))


@pytest.mark.filterwarnings("ignore:X has feature names")
def test_a_model_without_threshold_scores(model, table, tmp_path):
    skvae.save(model, tmp_path / "codes.skvae")
    X = pd.DataFrame(table, columns=list("abcde"))
    scores = skvae.BlockScorer(tmp_path / "codes.skvae")(X)
    assert list(scores) == ["anomaly_score"]
    np.testing.assert_array_equal(scores["anomaly_score"], -model.score_samples(table))


def test_a_classifier_scores_and_names_classes(keyed, tmp_path, capsys):
    X, y = keyed[FEATURES], np.where(keyed["a"] > 0, "yes", "no")
    quick = VAETransformer(**SMALL | {"max_steps": 5}, robust_weight=0)
    model = VAEClassifier(quick, labels="prior").fit(X, y)
    skvae.save(model, tmp_path / "classes.skvae")
    scorer = skvae.BlockScorer(tmp_path / "classes.skvae", keep=["id"])
    scores = scorer(keyed)
    assert list(scores) == ["id", "anomaly_score", "class", "probability"]
    np.testing.assert_array_equal(scores["anomaly_score"], -model.score_samples(X))
    np.testing.assert_array_equal(scores["class"], model.predict(X))
    np.testing.assert_array_equal(scores["probability"], model.predict_proba(X).max(axis=1))
    pd.testing.assert_frame_equal(scorer(keyed[:0]), scores[:0], check_index_type=False)
    keyed.to_csv(tmp_path / "rows.csv")
    assert run("explain", tmp_path / "classes.skvae", tmp_path / "rows.csv") == 1
    assert "classes.skvae is a VAEClassifier, which explains no scores" in capsys.readouterr().err


def test_levels_with_holes_are_no_numbers_to_a_classifier(tmp_path, capsys):
    X = pd.DataFrame({"kind": ["x", None, "y", "x", "y", "x"] * 5, "a": np.arange(30.0)})
    quick = VAETransformer(**SMALL | {"max_steps": 2}, robust_weight=0)
    model = VAEClassifier(quick).fit(X, X.index % 2)
    skvae.save(model, tmp_path / "classes.skvae")
    scores = skvae.BlockScorer(tmp_path / "classes.skvae")(X)
    np.testing.assert_array_equal(scores["anomaly_score"], -model.score_samples(X))
    X.to_csv(tmp_path / "rows.csv", index=False)
    assert run("score", tmp_path / "classes.skvae", tmp_path / "rows.csv") == 0
    wrong = X.astype({"a": object})
    wrong.loc[3, "a"] = "many"
    with pytest.raises(ValueError, match="Column 'a' holds 'many' in row 3: no number"):
        skvae.BlockScorer(tmp_path / "classes.skvae")(wrong)
