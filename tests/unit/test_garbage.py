"""Where Python looks for garbage once the service has started."""

import subprocess
import sys

CODE = """
import gc, weakref
import orderintake_server.service
from orderintake_server.process.garbage import spare_what_stays

class Node:
    pass

before = len(gc.get_objects())
spare_what_stays()
print(len(gc.get_objects()) < before / 100)

node = Node()
node.itself, gone = node, weakref.ref(node)
del node
gc.collect()
print(gone() is None)
"""


def test_what_stays_is_spared_and_what_is_made_later_is_not() -> None:
    """In a process of its own: it is for good."""
    told = subprocess.check_output([sys.executable, "-c", CODE], text=True)
    assert told.split() == ["True", "True"]
