"""Reading and writing one file of a machine: what is done inside it, and what came of it.

Only the standard library is used: the supervisor loads this file by its path.
"""

import errno
import os
import stat
from typing import Any

ACCESS = {"directory": 21, "missing": 22, "special": 23, "full": 24, "refused": 25}


def access_file(request: dict[str, Any]) -> int:
    """Copy one file of the machine to stdout, or stdin to it; returns an exit code of `ACCESS`."""
    path = request["path"]
    try:
        if request["file"] == "read":
            source, sink = os.open(path, os.O_RDONLY | os.O_NONBLOCK), 1
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if os.path.isdir(path):
                return ACCESS["directory"]
            if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
                return ACCESS["special"]
            source, sink = 0, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o666)
        mode = os.fstat(source if sink == 1 else sink).st_mode
        if not stat.S_ISREG(mode):
            return ACCESS["directory" if stat.S_ISDIR(mode) else "special"]
        copy(source, sink, request["most"])
        if request.get("executable"):
            os.fchmod(sink, mode | 0o111)
    except FileNotFoundError:
        return ACCESS["missing"]
    except OSError as error:
        os.write(2, str(error.strerror).encode())
        return ACCESS["full" if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT) else "refused"]
    return 0


def copy(source: int, sink: int, most: int) -> None:
    """Copy at most `most` bytes."""
    while most > 0 and (data := os.read(source, min(1 << 16, most))):
        most -= len(data)
        while data:
            data = data[os.write(sink, data) :]


def problem(code: int, said: str, path: str) -> OSError:
    """An exit code of `ACCESS` as the error that it stands for. `said` is what came over stderr."""
    kind, number, text = {
        ACCESS["directory"]: (IsADirectoryError, errno.EISDIR, "is a directory"),
        ACCESS["missing"]: (FileNotFoundError, errno.ENOENT, "no such file"),
        ACCESS["special"]: (PermissionError, errno.EPERM, "not a regular file"),
        ACCESS["full"]: (OSError, errno.ENOSPC, "the sandbox's disk is full"),
    }.get(code, (PermissionError, errno.EACCES, said or f"ended with {code}"))
    return kind(number, text, path)
