"""The bank of every video's vector: moving means, when they are clustered, and going on after a stop."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_info, threadpool_limits
from torch.nn import functional

from elo_cli.nets import bank as module
from elo_cli.nets.bank import Bank


def make(videos: int = 12, *, clusters: int = 3, clusterings: int = 2, every: int = 100, momentum: float = 0.5) -> Bank:
    return Bank(videos, videos, 4, clusters, clusterings, every, momentum, seed=0)


def everyone(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(count), torch.ones(count, dtype=torch.bool)


def test_vectors_are_moving_means_of_unit_length() -> None:
    bank, random = make(), torch.Generator().manual_seed(0)
    first, second = (torch.randn(5, 4, generator=random) for _ in range(2))
    rows, valid = torch.tensor([7, 0, 3, 1, 9]), torch.tensor([True, True, False, True, True])
    bank.update(rows, first, valid)
    expected = functional.normalize(first, dim=1)
    torch.testing.assert_close(bank.vectors_ND[[7, 0, 1, 9]], expected[valid])
    assert bank.seen_N.nonzero()[:, 0].tolist() == [0, 1, 7, 9] and not bank.vectors_ND[3].any()
    bank.update(rows, second, ~valid)
    torch.testing.assert_close(bank.vectors_ND[3], functional.normalize(second[2], dim=0))
    bank.update(rows, second, valid)
    mixed = functional.normalize((expected + functional.normalize(second, dim=1)) / 2, dim=1)
    torch.testing.assert_close(bank.vectors_ND[[7, 0, 1, 9]], mixed[valid])


def test_clusters_come_whenever_the_seen_videos_double_when_all_are_seen_and_by_the_clock() -> None:
    bank, random = make(14, every=9), np.random.default_rng(0)
    new = []
    for step in range(32):
        rows = torch.tensor([step % 14])
        new += [step] if bank.update(rows, torch.from_numpy(random.normal(size=(1, 4))), torch.tensor([True])) else []
        assert step < 13 or (bank.labels_HN >= 0).all(), "once all have been seen, all have a label"
    assert new == [3, 7, 13, 22, 31]  # 4 videos, 8, all 14; then 9 steps each time
    assert int(bank.rounds) == 5


def test_clusters_are_those_of_the_vectors() -> None:
    truth = np.arange(30) % 3
    vectors = np.eye(4)[truth] + np.random.default_rng(0).normal(size=(30, 4)) / 20
    bank = make(40)
    assert bank.update(*everyone(30)[:1], torch.from_numpy(vectors), everyone(30)[1])
    for labels_N in bank.labels_HN:
        assert adjusted_rand_score(truth, labels_N[:30]) == 1
        assert labels_N[30:].tolist() == [-1] * 10


def test_alike_vectors_make_one_cluster_and_no_noise(recwarn: pytest.WarningsRecorder) -> None:
    bank = make()
    rows, valid = everyone(12)
    assert bank.update(rows, torch.ones(12, 4), valid)
    assert not bank.labels_HN.any() and not recwarn.list


def test_many_rows_are_clustered_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 10)
    test_clusters_are_those_of_the_vectors()


def test_a_bank_goes_on_from_its_state() -> None:
    random = np.random.default_rng(1)
    steps = [(torch.from_numpy(random.permutation(12)[:4]), torch.from_numpy(random.normal(size=(4, 4)))) for _ in range(12)]
    valid = torch.ones(4, dtype=torch.bool)
    whole, first, second = make(every=3), make(every=3), make(every=3)
    for rows, vectors in steps:
        whole.update(rows, vectors, valid)
    for rows, vectors in steps[:5]:
        first.update(rows, vectors, valid)
    second.load_state_dict(first.state_dict())
    for rows, vectors in steps[5:]:
        second.update(rows, vectors, valid)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_clusters_do_not_hang_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads add their shares up in the order in which they end: on many of them no two runs are the same."""
    counts: list[int] = []
    fit = KMeans.fit_predict

    def watched(self: KMeans, rows: np.ndarray) -> np.ndarray:
        counts.extend(pool["num_threads"] for pool in threadpool_info())
        labels: np.ndarray = fit(self, rows)
        return labels

    monkeypatch.setattr(KMeans, "fit_predict", watched)
    with threadpool_limits(limits=2):
        rows, valid = everyone(12)
        make().update(rows, torch.randn(12, 4), valid)
    assert counts and set(counts) == {1}
