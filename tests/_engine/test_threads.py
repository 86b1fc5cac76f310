"""Threads: one where operations are small, and as many as before when all are done."""

import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from common import SMALL
from threadpoolctl import threadpool_info

from skvae import VAEAnomalyDetector
from skvae._engine import training
from skvae._engine.threads import _SHARED_FROM, one_thread, one_thread_of_blas, threads_for


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def in_a_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def blas_threads():
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_one_thread_within_and_as_many_as_before_after():
    with one_thread() as n_threads:
        assert (n_threads, torch.get_num_threads()) == (3, 1)
        with one_thread() as n_threads:
            assert n_threads == 3
        assert in_a_thread(torch.get_num_threads) == 1
    assert torch.get_num_threads() == in_a_thread(torch.get_num_threads) == 3


def test_a_large_step_has_all_threads_within_one_thread():
    with one_thread():
        with threads_for(_SHARED_FROM):
            assert torch.get_num_threads() == 3
            with one_thread() as n_threads:
                assert (n_threads, torch.get_num_threads()) == (3, 1)
            assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 1
        with one_thread.alone(), threads_for(_SHARED_FROM):
            assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


def test_threads_that_overlap_leave_what_there_was():
    inside, leave = threading.Barrier(3), [threading.Event(), threading.Event()]
    after = {}

    def work(i):
        with one_thread() as n_threads:
            inside.wait()
            leave[i].wait()
        after[i] = n_threads, torch.get_num_threads()

    threads = [threading.Thread(target=work, args=[i]) for i in (0, 1)]
    for thread in threads:
        thread.start()
    inside.wait()
    assert torch.get_num_threads() == 3  # the setting is of a thread
    for event, thread in zip(leave, threads, strict=True):
        event.set()
        thread.join()
    assert after == {0: (3, 3), 1: (3, 3)}
    assert in_a_thread(torch.get_num_threads) == 3


def test_a_thread_keeps_a_number_of_its_own_while_another_is_inside():
    def with_two():
        torch.set_num_threads(2)
        with one_thread() as n_threads:
            pass
        return n_threads, torch.get_num_threads()

    with one_thread():
        assert in_a_thread(with_two) == (2, 2)
    assert torch.get_num_threads() == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_no_thread_inside_but_that_which_forked():
    inside, leave = threading.Barrier(2), threading.Event()

    def work():
        with one_thread(), one_thread_of_blas():
            inside.wait()
            leave.wait()

    def after_fork(answers):
        with one_thread():
            pass
        torch.set_num_threads(2)  # what was set before the fork is of no other thread's now
        with one_thread(), one_thread_of_blas():
            pass
        answers.put((torch.get_num_threads(), blas_threads()))

    before = blas_threads()
    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    try:
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()
        child = context.Process(target=after_fork, args=[answers], daemon=True)
        child.start()
        child.join(60)
        assert not child.is_alive()
        assert answers.get() == (2, before)
    finally:
        leave.set()
        thread.join()


def test_an_error_within_leaves_what_there_was():
    with pytest.raises(ZeroDivisionError), one_thread(), one_thread_of_blas():
        raise ZeroDivisionError
    assert torch.get_num_threads() == 3


def test_of_blas_the_last_that_leaves_gives_back_what_there_was():
    before = blas_threads()
    one, other = one_thread_of_blas(), one_thread_of_blas()
    one.__enter__(), other.__enter__()
    assert blas_threads() == {1}
    one.__exit__(None, None, None)
    assert blas_threads() == {1}
    other.__exit__(None, None, None)
    assert blas_threads() == before


def test_large_steps_keep_the_threads_of_torch():
    for n_products, expected in [(_SHARED_FROM - 1, 1), (_SHARED_FROM, 3)]:
        with threads_for(n_products):
            assert torch.get_num_threads() == expected


def test_small_steps_have_one_thread_and_a_fit_leaves_three(table, monkeypatch):
    seen, take = set(), training.Training._take

    def watched(self, step):
        seen.add(torch.get_num_threads())
        take(self, step)

    monkeypatch.setattr(training.Training, "_take", watched)
    model = VAEAnomalyDetector(**SMALL).fit(table)
    model.score_samples(table)
    assert seen == {1}
    assert torch.get_num_threads() == in_a_thread(torch.get_num_threads) == 3


def test_fits_and_scores_at_the_same_time_are_those_one_after_the_other(table):
    models = [VAEAnomalyDetector(**SMALL | {"random_state": seed}) for seed in range(4)]
    alone = [model.fit(table).score_samples(table) for model in models]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda model: model.fit(table).score_samples(table), models))
    np.testing.assert_array_equal(alone, together)
    assert torch.get_num_threads() == in_a_thread(torch.get_num_threads) == 3


def test_alone_there_is_one_thread_for_all_and_afterwards_as_many_as_before():
    with one_thread.alone():
        with one_thread() as n_threads:
            assert (n_threads, torch.get_num_threads()) == (1, 1)
        with one_thread.alone():
            pass
        with one_thread() as n_threads:
            assert n_threads == 1
    with one_thread() as n_threads:
        assert n_threads == 3
    assert torch.get_num_threads() == in_a_thread(torch.get_num_threads) == 3
