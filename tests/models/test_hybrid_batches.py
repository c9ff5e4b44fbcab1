"""Batches of training lists: every row of a list keeps the context of its query."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.models.distributed import Peers
from recsys_kedro.models.hybrid_batches import BatchMaker, EventArrays
from recsys_kedro.models.network import RequestTensors
from recsys_kedro.training_lists import HISTORY_LENGTH


@pytest.fixture(scope="module")
def maker(shop_events, shop_lists):
    """Batches in which the first number of a request's time is its row in the lists."""
    lists = shop_lists
    rows = torch.arange(lists.requests.height)
    products = len(lists.products)
    times = lists.requests[f.SNAPSHOT_TIME].unique().to_list()
    return BatchMaker(
        lists=lists,
        product_of=np.arange(products),
        requests=RequestTensors(time=rows[:, None], device=rows, category=rows, profile=rows),
        events=EventArrays.of(shop_events, lists.products),
        numbers={time: torch.zeros(products, 1) for time in times},
        probabilities=np.full(products, 1 / products),
        batch_size=32,
        list_size=24,
        negatives=16,
        max_history=20,
        seed=3,
        device=torch.device("cpu"),
    )


def test_every_list_is_in_one_batch(maker):
    batches = list(maker.batches(0))
    assert len(batches) == maker.steps
    rows = torch.cat([batch.requests.device for batch in batches])
    assert sorted(rows.tolist()) == list(range(maker.lists.requests.height))


def test_processes_share_every_batch(maker):
    """Together they have each list of a batch once; a last list alone is learned by both."""
    peers = [Peers(torch.device("cpu"), rank, 2) for rank in (0, 1)]
    shares = [list(maker.on(each).batches(0)) for each in peers]
    for whole, *parts in zip(maker.batches(0), *shares, strict=True):
        rows = [part.requests.device.tolist() for part in parts]
        assert abs(len(rows[0]) - len(rows[1])) <= 1
        together = rows[0] if len(whole.requests.device) == 1 else rows[0] + rows[1]
        assert sorted(together) == sorted(whole.requests.device.tolist())
    assert shares[0][0].retrieved.tolist() != shares[1][0].retrieved.tolist()


def test_positives_and_negatives_stand_beside_their_own_query(maker):
    lists, seen = maker.lists, 0
    for batch in maker.batches(0):
        products = batch.distinct[batch.candidate]
        for place, query in enumerate(batch.requests.device.tolist()):
            rows = slice(lists.offsets[query], lists.offsets[query + 1])
            label = dict(zip(lists.product[rows].tolist(), lists.label[rows], strict=True))
            ranked = batch.valid[place]
            mine = products[place][ranked].tolist()
            assert len(set(mine)) == len(mine)
            assert batch.label[place][ranked].tolist() == [label[product] for product in mine]
            seen += int(batch.label[place].any() and (~batch.label[place][ranked]).any())
    assert seen > 100


def test_the_shared_negatives_of_a_query_are_nothing_that_it_has_taken(maker, shop_events):
    lists = maker.lists
    whole = replace(maker, max_history=10_000)
    for batch in list(whole.batches(0))[:3]:
        retrieved = batch.distinct[batch.retrieved].numpy()
        for place, query in enumerate(batch.requests.device.tolist()):
            request = lists.requests.row(query, named=True)
            past = shop_events.filter(
                pl.col(c.USER_ID) == request[c.USER_ID], pl.col(c.TIMESTAMP) < request[c.AS_OF]
            )
            assert past.height == request[HISTORY_LENGTH]
            had = lists.products.encode(past[c.PRODUCT_ID])
            allowed = ~batch.forbidden[place].numpy() & ~batch.wanted[place].numpy()
            assert not np.isin(retrieved[allowed], had).any()
            rows = slice(lists.offsets[query], lists.offsets[query + 1])
            new = lists.product[rows][lists.label[rows] & ~lists.taken[rows]]
            wanted = retrieved[batch.wanted[place].numpy()]
            assert sorted(wanted.tolist()) == sorted(new.tolist())


def test_the_same_epoch_gives_the_same_batches(maker):
    first, again, other = (next(iter(maker.batches(epoch))) for epoch in (0, 0, 1))
    assert torch.equal(first.candidate, again.candidate)
    assert torch.equal(first.requests.device, again.requests.device)
    assert not torch.equal(first.requests.device, other.requests.device)
