"""What objects remember goes when they go, without the garbage collector."""

import gc
import weakref
from functools import partial

from stellar.engine.memory import Recent, remembered


class Worker:
    def __init__(self):
        self.calls = []
        self.recent = Recent(2)

    @remembered
    def double(self, number):
        self.calls.append(number)
        return [2 * number]


def test_a_method_is_called_once_for_the_same_arguments_of_the_same_object():
    one, other = Worker(), Worker()
    assert one.double(2) is one.double(2) and one.double(3) == [6] and other.double(2) == [4]
    assert one.calls == [2, 3] and other.calls == [2]


def test_the_last_few_are_kept():
    worker = Worker()
    for key in (1, 2, 1, 3, 1, 2):
        assert worker.recent.get(key, lambda key=key: worker.double(key)) == [2 * key]
    made = []
    for key in (1, 2, 3, 2):
        worker.recent.get(key, lambda key=key: made.append(key))
    assert made == [3], "1 and 2 were there, 3 pushed 1 out"


def test_nothing_outlives_its_object():
    gc.disable()
    try:
        worker = Worker()
        worker.double(1)
        worker.recent.get(1, partial(worker.double, 1))
        gone = weakref.ref(worker)
        del worker
        assert gone() is None
    finally:
        gc.enable()
