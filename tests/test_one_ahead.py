import threading

import pytest

from recsys_kedro.one_ahead import one_ahead


def test_items_come_in_their_order():
    assert list(one_ahead(iter(range(5)))) == [0, 1, 2, 3, 4]
    assert list(one_ahead([])) == []
    assert list(one_ahead([None, None])) == [None, None]


def test_the_next_item_is_made_while_one_is_in_use():
    made = [threading.Event() for _ in range(2)]

    def make():
        for number, event in enumerate(made):
            event.set()
            yield number

    items = one_ahead(make())
    assert next(items) == 0
    assert made[1].wait(timeout=60)
    items.close()


def test_an_error_comes_after_the_items_before_it():
    def make():
        yield 1
        raise ValueError("broken")

    items = one_ahead(make())
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)
