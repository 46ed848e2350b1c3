"""Loaded at the start of every process whose PYTHONPATH has this folder: lets tests hold tasks of the platform.

Where `STELLAR_TEST_HOLD_IN` names functions (`module:function`), each is wrapped by `scale.hold.held` as soon as its
module is loaded.
"""

import importlib.abc
import importlib.machinery
import os
import sys

HELD = dict(place.split(":") for place in os.environ.get("STELLAR_TEST_HOLD_IN", "").split(",") if place)


class Holder(importlib.abc.MetaPathFinder):
    """Finds the modules as ever, and has their functions wrapped once they are loaded."""

    def find_spec(self, name, path=None, target=None):
        if name not in HELD:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        load = spec.loader.exec_module

        def load_and_hold(module):
            load(module)
            from scale.hold import held

            setattr(module, HELD[name], held(getattr(module, HELD[name])))

        spec.loader.exec_module = load_and_hold
        return spec


if HELD:
    sys.meta_path.insert(0, Holder())
