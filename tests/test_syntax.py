"""Parsing from many threads at once."""

import argparse
import ast
import gc
import sys
import threading
from pathlib import Path

from swegym import syntax


def test_threads_can_parse_at_the_same_time():
    source, failures = Path(argparse.__file__).read_text(), []

    def work():
        for _ in range(12):
            try:
                syntax.parse(source)
            except SystemError as error:
                failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failures


class ParsesWhenCollected:
    def __init__(self):
        self.itself = self

    def __del__(self):
        ast.parse("x = 1")


def test_a_destructor_that_parses_does_not_disturb_a_parse():
    source = Path(argparse.__file__).read_text()
    threshold = gc.get_threshold()
    gc.set_threshold(50)
    try:
        for _ in range(8):
            ParsesWhenCollected()
            assert syntax.parse(source).body
    finally:
        gc.set_threshold(*threshold)
