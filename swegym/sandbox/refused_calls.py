"""What machines may not take of the host where no cgroup counts it: by some system calls, and more than a share.

Worked out once in each owner, and sent to the supervisor with its requests.
"""

import contextlib
import errno
import functools
import struct
from pathlib import Path
from typing import Any

# What no machine needs and the kernel's other limits do not see: a call that takes gigabytes of the host's disk at
# once, before anybody has looked; a second way to every call; and one for what the host has few of in all. Programs do
# without where a kernel has none of them. AUDIT_ARCH -> numbers of fallocate; of io_uring_setup and io_setup; and of
# ioctl, of which that refuses three requests: fallocate again.
X32 = 0x40000000
REFUSED = {
    0xC000003E: ((285, X32 | 285), (425, X32 | 425, 206, X32 | 543), (16, X32 | 514)),  # x86_64
    0x40000003: ((324,), (425, 245), (54,)),  # i386
    0xC00000B7: ((47,), (425, 0), (29,)),  # aarch64
    0x40000028: ((352,), (425, 243), (54,)),  # arm
}
# What the kernel counts for each user, over all machines of the host: one machine gets a share of it.
PER_USER = ("max_inotify_instances", "max_inotify_watches", "max_fanotify_groups", "max_fanotify_marks")
SHARE = 8
RESERVE = (0x5828, 0x582A, 0x5839)  # FS_IOC_RESVSP, FS_IOC_RESVSP64, FS_IOC_ZERO_RANGE without size and direction


def call_filter() -> bytes:
    """A seccomp program that answers the calls in `REFUSED` as a file system, or a kernel, without them does."""
    load, both, equal, answer, allow, error = 0x20, 0x54, 0x15, 0x06, 0x7FFF0000, 0x00050000
    request = [(load, 0, 0, 24), (both, 0, 0, 0xFFFF)]  # of ioctl: the lower half of its second argument
    for number in RESERVE:
        request += [(equal, 0, 1, number), (answer, 0, 0, error | errno.EOPNOTSUPP)]
    request.append((answer, 0, 0, allow))
    program = [(load, 0, 0, 4)]  # the architecture
    for architecture, (fallocate, io_ways, ioctl) in REFUSED.items():
        block = [(load, 0, 0, 0)]  # the call
        for calls, code in ((fallocate, errno.EOPNOTSUPP), (io_ways, errno.ENOSYS)):
            for call in calls:
                block += [(equal, 0, 1, call), (answer, 0, 0, error | code)]
        for call in ioctl:
            block += [(equal, 0, len(request), call), *request]
        block.append((answer, 0, 0, allow))
        program += [(equal, 0, len(block), architecture), *block]
    return b"".join(struct.pack("=HBBI", *line) for line in [*program, (answer, 0, 0, allow)])


def shares() -> dict[str, int]:
    """A machine's part of each limit in `PER_USER` that this kernel has."""
    found = {}
    for name in PER_USER:
        with contextlib.suppress(OSError, ValueError):
            found[name] = max(int(Path("/proc/sys/user", name).read_text()) // SHARE, 1)
    return found


def terminals() -> int:
    """A machine's part of the terminals, of which the kernel counts all that there are on the host."""
    try:
        most, reserve = (int(Path("/proc/sys/kernel/pty", name).read_text()) for name in ("max", "reserve"))
    except (OSError, ValueError):
        return 256
    return max((most - reserve) // SHARE, 1)


@functools.cache
def for_requests() -> dict[str, Any]:
    """What the supervisor needs of it, as its requests hold it."""
    return {"calls": call_filter().hex(), "shares": shares(), "terminals": terminals()}
