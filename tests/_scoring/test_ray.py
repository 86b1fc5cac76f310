"""A Ray cluster of two nodes, one of which is killed: the job finishes, no row twice or lost."""

import time
from threading import Thread
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from common import SMALL

import skvae

ray = pytest.importorskip("ray", reason="needs Ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
COLUMNS = list("abcde")
N_PARTS, N_ROWS = 24, 20_000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of parts with a model, and all rows with their scores, by key."""
    folder, rng = tmp_path_factory.mktemp("cluster"), np.random.default_rng(0)
    detector = skvae.VAEAnomalyDetector(**SMALL).fit(
        pd.DataFrame(rng.normal(size=(500, 5)), columns=COLUMNS)
    )
    skvae.save(detector, folder / "model.skvae")
    (folder / "new").mkdir()
    X = pd.DataFrame(rng.normal(size=(N_PARTS * N_ROWS, 5)), columns=COLUMNS)
    X = X.assign(id=np.arange(len(X)))
    for part in range(N_PARTS):
        rows = X[part * N_ROWS : (part + 1) * N_ROWS]
        rows.to_parquet(folder / f"new/{part:02d}.parquet", index=False)
    return folder, skvae.BlockScorer(folder / "model.skvae", keep=["id"])(X)


@pytest.fixture
def nodes():
    """Cluster of two nodes of one processor, and the second of them."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    try:
        yield cluster, second
    finally:
        ray.shutdown()
        cluster.shutdown()


class Killer(Thread):
    """Kills the second node when it is time, and remembers what was done by then."""

    def __init__(self, nodes, done, is_time):
        super().__init__(daemon=True)
        self._nodes, self._done, self._is_time, self.n_before = nodes, done, is_time, 0
        self.start()

    def run(self):
        while not self._is_time(done := self._done()):
            time.sleep(0.01)
        cluster, second = self._nodes
        cluster.remove_node(second, allow_graceful=False)
        self.n_before = len(done)


def check(scores, expected):
    scores = scores.sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(scores, expected, check_exact=True, check_dtype=False)


def n_alive(expected):
    """Machines of the cluster, once they are as many as expected, or a minute later."""
    for _ in range(600):
        n = sum(node["Alive"] for node in ray.nodes())
        if n == expected:
            break
        time.sleep(0.1)
    return n


def test_files_are_scored_though_a_node_dies(made, nodes):
    (folder, expected), address = made, nodes[0].address
    scores = folder / "scores"
    ray.init(address, log_to_driver=False)
    assert n_alive(2) == 2
    killer = Killer(nodes, lambda: list(scores.glob("*.parquet")), lambda done: len(done) >= 6)
    parts = skvae.score_files(
        folder / "model.skvae",
        folder / "new",
        scores,
        keep=["id"],
        engine="ray",
        address=address,
        block_rows=2_000,
    )
    killer.join()
    assert 0 < killer.n_before < len(parts) == N_PARTS
    assert n_alive(1) == 1
    check(pd.concat([pd.read_parquet(path) for path in scores.glob("*.parquet")]), expected)
    again = skvae.score_files(folder / "model.skvae", folder / "new", scores, keep=["id"])
    assert again["finished_before"].all()


def test_ray_data_scores_blocks_though_a_node_dies(made, nodes, tmp_path):
    pytest.importorskip("ray.data")
    folder, expected = made
    ray.init(nodes[0].address, log_to_driver=False)
    scorer, second = skvae.BlockScorer(folder / "model.skvae", keep=["id"]), nodes[1].node_id

    def scored(block):
        scores = scorer(block)
        here = ray.get_runtime_context().get_node_id()
        (tmp_path / f"{here} {uuid4().hex}").touch()
        return scores

    def is_time(done):
        return any(path.name.startswith(second) for path in done)

    killer = Killer(nodes, lambda: list(tmp_path.iterdir()), is_time)
    table = ray.data.read_parquet(str(folder / "new")).repartition(N_PARTS)
    scores = table.map_batches(scored, batch_format="pyarrow", batch_size=2_000).to_pandas()
    killer.join()
    assert 0 < killer.n_before < len(list(tmp_path.iterdir()))
    assert n_alive(1) == 1
    check(scores, expected)


def test_a_search_runs_on_the_cluster(nodes):
    from joblib import parallel_backend
    from ray.util.joblib import register_ray
    from sklearn.model_selection import GridSearchCV

    ray.init(nodes[0].address, log_to_driver=False)
    register_ray()
    X = np.random.default_rng(0).normal(size=(200, 3))
    search = GridSearchCV(skvae.VAEAnomalyDetector(**SMALL), {"latent_dim": [1, 2]}, cv=2)
    with parallel_backend("ray", n_jobs=2):
        search.fit(X)
    alone = GridSearchCV(search.estimator, search.param_grid, cv=2).fit(X)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )
