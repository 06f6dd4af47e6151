"""Private addresses that never answer, where a task's tests wait for that; the loopback device stays what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from swegym.errors import SandboxUnavailable
from swegym.images import store as layers
from swegym.sandbox import Limits, open_sandbox
from swegym.sandbox.base import refuse_silent_network
from swegym.types import Image

LOUD = Image("loud", "host", workdir="/")
SILENT = Image("silent", "host", workdir="/", silent_network=True)
CONNECT = """
import errno, socket, sys
box = socket.socket()
box.settimeout(0.3)
try:
    box.connect((sys.argv[1], 80))
except TimeoutError:
    print("no answer")
except OSError as error:
    print(errno.errorcode[error.errno])
"""
LOOPBACK = """
import socket
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname(), 1).close()
print("connected")
"""


def connecting(image: Image, *addresses: str) -> dict[str, str]:
    with open_sandbox(image) as box:
        return {
            address: box.exec(["/opt/python/bin/python3", "-c", CONNECT, address]).text.strip() for address in addresses
        }


def test_private_addresses_do_not_answer_and_others_are_refused_at_once() -> None:
    private = ("10.255.255.1", "172.16.0.9", "172.31.255.254", "192.168.1.1")
    assert set(connecting(SILENT, *private).values()) == {"no answer"}
    assert set(connecting(SILENT, "192.0.2.1", "172.32.0.1", "8.8.8.8").values()) == {"ENETUNREACH"}


def test_without_it_private_addresses_are_refused_at_once() -> None:
    assert connecting(LOUD, "10.255.255.1") == {"10.255.255.1": "ENETUNREACH"}


def test_loopback_works_and_the_first_command_after_a_restart_finds_silence_too() -> None:
    with open_sandbox(SILENT) as box:
        assert box.exec(["/opt/python/bin/python3", "-c", LOOPBACK]).text.strip() == "connected"
        box.stop_processes()
        assert box.exec(["/opt/python/bin/python3", "-c", CONNECT, "10.0.0.1"]).text.strip() == "no answer"
        with open_sandbox(box.snapshot()) as branch:
            assert branch.exec(["/opt/python/bin/python3", "-c", CONNECT, "10.0.0.1"]).text.strip() == "no answer"


def test_a_policy_cannot_undo_it_nor_add_routes() -> None:
    undo = "import socket, struct\n" + (
        "box = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)\n"
        "body = struct.pack('=8BI', 2, 8, 0, 0, 254, 4, 253, 1, 0) + struct.pack('=HH4s', 8, 1, bytes([10, 0, 0, 0]))\n"
        "box.sendto(struct.pack('=IHHII', 16 + len(body), 25, 5, 1, 0) + body, (0, 0))\n"
        "print(struct.unpack_from('=i', box.recv(4096), 16)[0])\n"
    )
    with open_sandbox(SILENT) as box:
        assert box.exec(["/opt/python/bin/python3", "-c", undo]).text.strip() == "-1"  # EPERM
        assert box.exec(["/opt/python/bin/python3", "-c", CONNECT, "10.0.0.1"]).text.strip() == "no answer"


def test_it_is_part_of_what_an_image_is() -> None:
    plain, silent = (layers.make_image((), {}, "/", silent_network=wanted) for wanted in (False, True))
    assert plain.digest != silent.digest
    assert (plain.silent_network, silent.silent_network) == (False, True)


def test_a_backend_that_cannot_refuses_instead_of_running_other_tests(store: Path) -> None:
    refuse_silent_network(LOUD, "docker")
    with pytest.raises(SandboxUnavailable, match="docker cannot drop packets silently"):
        refuse_silent_network(SILENT, "docker")
    with pytest.raises(SandboxUnavailable, match="docker cannot drop packets silently"):
        open_sandbox(SILENT, "docker", Limits())
