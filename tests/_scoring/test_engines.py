"""Dask and Spark share out blocks, where they are installed."""

import sys

import pandas as pd
import pytest

import skvae


@pytest.fixture
def parts(keyed, tmp_path):
    """Folder of three files of Parquet."""
    X = keyed.dropna()
    for i in range(3):
        X[i::3].to_parquet(tmp_path / f"{i}.parquet", index=False)
    return tmp_path


@pytest.fixture
def scorer(model_file):
    return skvae.BlockScorer(model_file, keep=["id"])


def check(scores, scorer, keyed):
    expected = scorer(keyed.dropna()).sort_values("id", ignore_index=True)
    scores = scores.sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(scores, expected, check_exact=True, check_dtype=False)


@pytest.mark.filterwarnings("ignore")  # what Dask asks of pandas
@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_dask_scores_partitions(parts, scorer, keyed, scheduler):
    dd = pytest.importorskip("dask.dataframe", reason="needs Dask")
    table = dd.read_parquet(parts)
    scores = table.map_partitions(scorer, meta=scorer(table.head(0)))
    check(scores.compute(scheduler=scheduler), scorer, keyed)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["mapInPandas", "mapInArrow"])
def test_spark_scores_batches(parts, scorer, keyed, method, monkeypatch):
    sql = pytest.importorskip("pyspark.sql", reason="needs Spark")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    session = sql.SparkSession.builder.master("local[2]").getOrCreate()
    table = session.read.parquet(str(parts))
    schema = "id string, anomaly_score double, flagged boolean"
    check(getattr(table, method)(scorer, schema).toPandas(), scorer, keyed)
    session.stop()
