import numpy as np

from recsys_kedro.simulation.memory import EMPTY, SLOTS, PurchaseMemory


def remembered(memory, user):
    slots = zip(memory.product_UM[user], memory.day_UM[user], strict=True)
    return {int(product): float(day) for product, day in slots if product != EMPTY}


def test_last_day_of_each_product_is_kept():
    memory = PurchaseMemory.empty(2)
    memory.remember(np.array([0, 0, 1]), np.array([5, 6, 5]), np.array([1.0, 2.0, 3.0]))
    memory.remember(np.array([0, 0]), np.array([5, 5]), np.array([9.0, 8.0]))
    assert remembered(memory, 0) == {5: 9.0, 6: 2.0}
    assert remembered(memory, 1) == {5: 3.0}


def test_latest_purchases_stay_when_there_are_more_than_fit():
    memory = PurchaseMemory.empty(1)
    product = np.arange(SLOTS + 3)
    memory.remember(np.zeros(len(product), int), product, product.astype(float))
    assert sorted(remembered(memory, 0)) == list(range(3, SLOTS + 3))


def test_order_of_calls_does_not_matter():
    rng = np.random.default_rng(0)
    user, product = rng.integers(0, 3, 60), rng.integers(0, 20, 60)
    day = np.sort(rng.random(60))
    at_once, in_parts = PurchaseMemory.empty(3), PurchaseMemory.empty(3)
    at_once.remember(user, product, day)
    for part in np.array_split(np.arange(60), 7):
        in_parts.remember(user[part], product[part], day[part])
    np.testing.assert_array_equal(at_once.product_UM, in_parts.product_UM)


def test_no_purchases_change_nothing():
    memory = PurchaseMemory.empty(2)
    none = np.empty(0, int)
    memory.remember(none, none, none.astype(float))
    assert (memory.product_UM == EMPTY).all()
