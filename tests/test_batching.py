"""Requests that share passes: same results, own errors, no deadlock."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from resume_contrastive.batching import MicroBatcher


def test_sixty_four_threads_share_passes_and_get_their_own_results():
    batcher = MicroBatcher(lambda xs: [time.sleep(0.02) or x * x for x in xs[:1]] + [
        x * x for x in xs[1:]], most=64)
    start = threading.Barrier(64)

    def ask(n):
        start.wait()
        return batcher([n, n + 1])

    with ThreadPoolExecutor(64) as pool:
        assert list(pool.map(ask, range(64))) == [[n * n, (n + 1) ** 2] for n in range(64)]
    assert batcher.items == 128 and batcher.calls <= 16 and not batcher._waiting


@pytest.mark.parametrize("bad", [{3}, {0, 31}, set(range(32))])
def test_an_error_reaches_its_own_request_only(bad):
    def double(xs):
        time.sleep(0.002)
        for x in xs:
            if x in bad:
                raise ValueError(f"bad {x}")
        return [2 * x for x in xs]

    batcher, start = MicroBatcher(double), threading.Barrier(32)

    def ask(n):
        start.wait()
        try:
            return batcher([n])[0]
        except ValueError as e:
            return str(e)

    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(ask, range(32)))
    assert found == [f"bad {n}" if n in bad else 2 * n for n in range(32)]
    assert not batcher._waiting and not batcher._busy
    assert batcher([40]) == [80]


def test_too_few_results_are_an_error_and_not_a_hang():
    batcher = MicroBatcher(lambda xs: [])
    for _ in range(2):
        with pytest.raises(ValueError):
            batcher([1])


def test_an_interrupted_leader_hands_over_and_loses_nobodys_work():
    started, interrupted = threading.Event(), []

    def work(xs):
        if not interrupted:
            interrupted.append(xs)
            started.set()
            time.sleep(0.05)
            raise KeyboardInterrupt
        return [-x for x in xs]

    batcher = MicroBatcher(work, wait=0)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(batcher, [1])
        started.wait()
        rest = [pool.submit(batcher, [n]) for n in range(2, 6)]
        assert [f.result(timeout=5) for f in rest] == [[-n] for n in range(2, 6)]
        with pytest.raises(KeyboardInterrupt):
            first.result(timeout=5)
    assert batcher([7]) == [-7]


def test_equal_keys_are_computed_once_and_a_large_request_lets_small_ones_pass():
    seen = []
    batcher = MicroBatcher(lambda xs: [time.sleep(0.001) or seen.append(x) or x for x in xs],
                           most=4)
    assert batcher(["a", "a", "b"], keys=[1, 1, 2]) == ["a", "a", "b"] and len(seen) == 2
    with ThreadPoolExecutor(2) as pool:
        large = pool.submit(batcher, list(range(400)))
        while batcher.calls < 2:
            time.sleep(0.001)
        assert pool.submit(batcher, ["small"]).result(timeout=5) == ["small"]
        assert not large.done() and large.result(timeout=30) == list(range(400))


def test_bad_settings_and_nothing_to_do():
    for settings, message in (({"most": 0}, "most must be >= 1"), ({"wait": -1}, "wait must be")):
        with pytest.raises(ValueError, match=message):
            MicroBatcher(list, **settings)
    assert MicroBatcher(list)([]) == []
