"""The stream of a container's command, with an end that code under test may have written: no engine is needed."""

import pytest

from swegym.sandbox.docker_exec import Frames

MARK = "swegym-0123"


def frames(*outputs: bytes) -> Frames:
    found = Frames(1000, MARK)
    for data in outputs:
        found.add(b"\1\0\0\0" + len(data).to_bytes(4, "big") + data)
    return found


@pytest.mark.parametrize(
    ("outputs", "code", "kept"),
    [
        ((b"said\0swegym-0123 7\0after",), 7, b"said"),
        ((b"said\0swe", b"gym-0123 1", b"37", b"\0"), 137, b"said"),
        ((b"\0swegym-0123 seven\0",), 255, b""),
        ((b"\0swegym-0123 \xb2\0",), 255, b""),
        ((b"\0swegym-0123 123456", *[b"x" * 100_000] * 9), 255, b""),
        ((b"\0swegym-012 7\0",), None, b"\0swegym-012 7\0"),
    ],
    ids=["whole", "in pieces", "no number", "a digit and no number", "no end", "another mark"],
)
def test_the_end_of_a_command_is_read_whoever_wrote_it(
    outputs: tuple[bytes, ...], code: int | None, kept: bytes
) -> None:
    found = frames(*outputs)
    assert found.codes.get(1) == code
    assert found.finish()[0] == kept
