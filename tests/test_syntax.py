"""Parsing from many threads at once."""

import argparse
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
