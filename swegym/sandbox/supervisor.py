"""The small process that owns every embedded sandbox of one owner process, and dies with it.

Run as a script: `python -I -S supervisor.py SOCKET_FD OWNER_PIDFD FOLDER`. It starts machines (bubblewrap) and enters
commands into them. When the owner dies, in whatever way, it kills every machine, removes FOLDER and exits. When it is
killed itself, the kernel kills the machines (parent-death signal) and the next start sweeps the folder.

It is single-threaded and imports little, so that a fork costs well under a millisecond. Entering a machine:
bubblewrap leaves two user namespaces, an outer one that owns the mounts and an inner one, without rights over them, in
which everything of the policy lives. The outer is joined first, for the right to join the rest; the inner last, so that
the command has no way to undo a read-only mount. Nothing of the sandbox's files is executed before that.

Requests are single datagrams: one byte ("o" open, "x" exec, "z" start a zygote), with file descriptors attached. The
first descriptor is a file that holds the request as JSON; see `start_machine`, `enter` and `start_zygote` for the
others.
"""

import array
import contextlib
import ctypes
import fcntl
import gc
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

NS_GET_USERNS = 0xB701
KEYCTL_JOIN_SESSION_KEYRING = 1
PR_SET_PDEATHSIG = 1
KEYCTL_REVOKE, KEY_SPEC_SESSION_KEYRING = 3, -3
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
PR_GET_SECCOMP = 21
MS_REMOUNT, MS_NOSUID, MS_NOEXEC = 32, 2, 8
CAPABILITY_HEADER = struct.pack("Ii", 0x20080522, 0)  # version 3, this process
PRIVATE = (("10.0.0.0", 8), ("172.16.0.0", 12), ("192.168.0.0", 16))

Work = Callable[[dict[str, Any]], None]

_libc = ctypes.CDLL(None, use_errno=True)
_files: dict[str, Any] = {}  # what file_access.py defines, in the supervisor and what it forks


def serve(channel: socket.socket, owner: int, folder: str) -> None:
    """Answer requests until the owner is gone; then leave nothing behind."""
    leave_keyring()
    removal = neighbour("removal.py")  # now, for the package may go before us
    _files.update(neighbour("file_access.py"))
    wake, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    # What a machine leaves behind when it ends becomes ours to reap, so that its cgroup is empty when we say so.
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    gc.disable()
    gc.freeze()  # a collection in a child would touch, and so copy, every page
    children: set[int] = set()
    waiting = select.poll()
    for descriptor in (channel.fileno(), owner, wake):
        waiting.register(descriptor, select.POLLIN)
    try:
        while True:
            ready = {descriptor for descriptor, _ in waiting.poll()}
            if wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
                children -= set(reap())
            if owner in ready:
                return
            if channel.fileno() in ready:
                kind, descriptors = receive(channel)
                if not kind:
                    return
                try:
                    this = os.getpid()
                    pid = os.fork()
                    if pid == 0:
                        signal.set_wakeup_fd(-1)
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        run_child(kind, descriptors, this)
                    children.add(pid)
                except OSError as error:  # of the fork: this host has no room for one more process
                    tell(kind, descriptors, error)
                for descriptor in descriptors:
                    os.close(descriptor)
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        removal["end_strays"](folder)
        wait_for_all()
        removal["clean_owner"](folder)
        snapshots = os.path.join(os.path.dirname(os.path.dirname(folder)), "snapshots")
        if os.path.isdir(snapshots):
            with contextlib.suppress(OSError):  # the package is gone: the next start collects
                frozen = neighbour("frozen.py")
                frozen["collect"](frozen["Path"](snapshots), removal["clean"])  # what the dead owner alone used


def neighbour(name: str) -> dict[str, Any]:
    """What a file beside this one defines. It cannot be imported: a script without site-packages has no package."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    defined: dict[str, Any] = {"__name__": name.removesuffix(".py")}
    with open(path, encoding="utf-8") as file:
        exec(compile(file.read(), path, "exec"), defined)
    return defined


def leave_keyring() -> None:
    """Take up a session keyring that is empty, and revoke it: machines inherit it.

    The owner's may hold keys, and what one machine left in a common one, the next would find.
    """
    number = {"x86_64": 250, "aarch64": 219}.get(os.uname().machine)
    if number is not None:
        _libc.syscall(number, KEYCTL_JOIN_SESSION_KEYRING, None)
        _libc.syscall(number, KEYCTL_REVOKE, KEY_SPEC_SESSION_KEYRING)


def wait_for_all(timeout: float = 10.0) -> None:
    """Reap every child, orphans that became ours included."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.002)
        except ChildProcessError:
            return


def receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    data, ancillary, _, _ = channel.recvmsg(16, socket.CMSG_SPACE(16 * 4))
    descriptors = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return data, list(descriptors)


def reap() -> list[int]:
    reaped = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            reaped.append(pid)
    return reaped


def run_child(kind: bytes, descriptors: list[int], parent: int) -> None:
    """In a forked child: do one request and leave by _exit or exec, never by returning."""
    try:
        # Bubblewrap says so itself, but late.
        if _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0 or os.getppid() != parent:
            os._exit(70)
        with open(descriptors[0], closefd=False) as file:
            request = json.load(file)
        if kind == b"o":
            start_machine(request, descriptors)
        elif kind == b"z":
            start_zygote(request, descriptors)
        else:
            enter(request, descriptors)
    except Exception as error:
        tell(kind, descriptors, error)
    finally:
        os._exit(70)


def tell(kind: bytes, descriptors: list[int], error: Exception) -> None:
    """Say to the owner why nothing came of a request. Of a zygote it sees that the channel closes."""
    with contextlib.suppress(OSError, IndexError):
        if kind == b"o":
            os.write(descriptors[3], f"{type(error).__name__}: {error}".encode())
        elif kind == b"x":
            os.write(descriptors[4], f"broken {type(error).__name__}: {error}".encode())


def start_machine(request: dict[str, Any], descriptors: list[int]) -> None:
    """Become bubblewrap. Descriptors: request, bubblewrap's status pipe, the ready pipe, stderr.

    The status and ready pipes are 3 and 4 in it.
    """
    _, status, ready, errors = descriptors
    join_cgroups(request["cgroups"])
    null = os.open("/dev/null", os.O_RDWR)
    # Move everything out of the way of the low numbers first, so that no dup2 overwrites a source.
    given, argv = [null, null, errors, status, ready], request["argv"]
    if _libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0:  # the init, too: commands can trace it
        program = os.memfd_create("calls")
        os.write(program, bytes.fromhex(request["calls"]))
        os.lseek(program, 0, os.SEEK_SET)
        given.append(program)
        argv = [argv[0], "--seccomp", str(given.index(program)), *argv[1:]]
    sources = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 100) for descriptor in given]
    for number, source in enumerate(sources):
        os.dup2(source, number)
    descriptors[3] = 2
    os.closerange(len(sources), 4096)
    reset_signals()
    os.execve(argv[0], argv, {})


def refuse_calls(calls: bytes) -> None:
    """Filter this process's calls. Commands are as fast as without: the kernel knows which calls always pass."""
    set_mode_filter, speculation_as_before = 1, 4
    number = {"x86_64": 317, "aarch64": 277}.get(os.uname().machine)
    if number is None or _libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0:
        return
    program = ctypes.create_string_buffer(calls)
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program.raw) // 8, ctypes.addressof(program)))
    if _libc.syscall(number, set_mode_filter, speculation_as_before, header) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def start_zygote(request: dict[str, Any], descriptors: list[int]) -> None:
    """Become a program that sees a machine's files and is not in it. Descriptors: request, channel, code, pidfd.

    The channel is 3 in it, its code 4, this mount namespace 5. What it forks can enter machines as the children of this
    process do, so nothing but trusted code may run in it. It is traced by nobody, and dies with this process.
    """
    _, channel, code, machine = descriptors
    null = os.open("/dev/null", os.O_RDWR)
    home = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    spaces = open_namespaces(request["pid"], machine)
    sources = [fcntl.fcntl(number, fcntl.F_DUPFD, 100) for number in (null, null, null, channel, code, home)]
    os_setns(spaces["mnt"])
    for number, source in enumerate(sources):
        os.dup2(source, number)
    os.closerange(len(sources), 4096)
    os.setsid()
    reset_signals()
    os.execvpe(request["argv"][0], request["argv"], request["environment"])


def enter(
    request: dict[str, Any], descriptors: list[int], work: Callable[[dict[str, Any]], None] | None = None
) -> None:
    """Run one command inside a machine and say to the status pipe how it went.

    "exit CODE"; "gone" when the machine has ended; "broken" when this host did not let us in. Descriptors: request,
    stdin, stdout, stderr, status, pidfd of the machine's first process. With `work`, a zygote's, that function runs in
    there instead of the command, without any capability.
    """
    _, stdin, stdout, stderr, status, machine = descriptors
    try:
        spaces = open_namespaces(request["pid"], machine)
        os_setns(spaces["outer"])
        if request.get("silent_network"):
            os_setns(spaces["net"])
            silence_private_addresses()
        os_setns(spaces["pid"])
        pid = os.fork()
    except OSError as error:
        say_why(status, machine, error)
        os._exit(0)
    if pid == 0:
        try:
            settle(request, spaces, (stdin, stdout, stderr))
        except OSError as error:
            say_why(status, machine, error)
            os._exit(127)
        try:
            os.closerange(3, 4096)
            become(request, work)
        except OSError as error:
            os.write(2, f"{error.filename or 'exec'}: {error.strerror}\n".encode())
        finally:
            os._exit(127)
    for descriptor in (stdin, stdout, stderr, *spaces.values()):
        os.close(descriptor)
    _, result = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(result)
    os.write(status, f"exit {code if code >= 0 else 128 - code}".encode())
    os._exit(0)


def open_namespaces(pid: int, machine: int) -> dict[str, int]:
    """The machine's namespaces. Raises ProcessLookupError when it is dead, so that a reused pid is never entered."""
    names = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
    spaces = {name: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in names}
    spaces["outer"] = fcntl.ioctl(spaces["mnt"], NS_GET_USERNS)
    if has_ended(machine):
        raise ProcessLookupError("the machine has ended")
    return spaces


def say_why(status: int, machine: int, error: OSError) -> None:
    """A machine that is about to end takes nobody in any more, a little before it has ended."""
    os.write(status, f"{'gone' if has_ended(machine, wait=1000) else 'broken'} {error}\n".encode())


def has_ended(machine: int, wait: int = 0) -> bool:
    """Whether a machine's first process is dead, now or within some milliseconds."""
    poller = select.poll()
    poller.register(machine, select.POLLIN)
    return bool(poller.poll(wait))


def silence_private_addresses() -> None:
    """Lead packets for private addresses to the loopback device, which drops what is for nobody without an answer.

    Every command asks for the routes again (a machine that starts anew has none), and they replace themselves. As
    `ip route replace 10.0.0.0/8 dev lo`, in netlink's own words (rtnetlink(7)), for a host need not have `ip`.
    """
    new_route, request_create_replace_answer, main_table, static, link_scope, unicast = 24, 0x505, 254, 4, 253, 1
    destination, device = 1, 4
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as channel:
        index = socket.if_nametoindex("lo")
        for address, bits in PRIVATE:
            route = struct.pack("=8BI", socket.AF_INET, bits, 0, 0, main_table, static, link_scope, unicast, 0)
            route += struct.pack("=HH4s", 8, destination, socket.inet_aton(address))
            route += struct.pack("=HHI", 8, device, index)
            header = struct.pack("=IHHII", 16 + len(route), new_route, request_create_replace_answer, 1, 0)
            channel.sendto(header + route, (0, 0))
            (code,) = struct.unpack_from("=i", channel.recv(4096), 16)
            if code:
                raise OSError(-code, f"a route for {address}/{bits}: {os.strerror(-code)}")


def settle(request: dict[str, Any], spaces: dict[str, int], streams: tuple[int, int, int]) -> None:
    """Bring this process into the machine, under all its limits. What fails here is not the command's doing."""
    join_cgroups(request.get("cgroups", []))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")  # under memory pressure the command goes first, the machine's init last
    os.setsid()
    sources = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 100) for descriptor in streams]
    for number, source in enumerate(sources):
        os.dup2(source, number)
    counts = None
    with contextlib.suppress(OSError):  # the host's, before its /proc is out of sight
        counts = os.open("/proc/sys/user", os.O_PATH | os.O_DIRECTORY)
    for name in ("cgroup", "ipc", "uts", "net", "mnt"):
        os_setns(spaces[name])
    # Where it is a mount of ours. Of terminals the kernel counts all that there are on the host.
    terminals = b"mode=620,ptmxmode=666,max=%d" % request["terminals"]
    _libc.mount(None, b"/dev/pts", None, MS_REMOUNT | MS_NOSUID | MS_NOEXEC, terminals)
    if os.fstat(spaces["user"]).st_ino != os.fstat(spaces["outer"]).st_ino:
        os_setns(spaces["user"])
    if counts is not None:
        take_a_share(counts, request["shares"])
    for capability in range(64):
        if _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # past the last capability of this kernel
    if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    refuse_calls(bytes.fromhex(request["calls"]))
    os.chdir("/")
    for name, value in request["rlimits"].items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    os.umask(0o022)


def become(request: dict[str, Any], work: Work | None) -> None:
    """Turn this process, which has settled in the machine, into the command."""
    if "file" in request:
        # It runs no program of the machine and needs none of its processes. With its capabilities gone it may do there
        # what a command may, no more; and since it is not dumpable, no command can trace it.
        give_up_capabilities()
        os._exit(_files["access_file"](request))
    reset_signals()
    os.chdir(request["cwd"])
    if work is not None:
        give_up_capabilities()
        work(request)
        os._exit(0)
    os.execvpe(request["argv"][0], request["argv"], request["environment"])


def take_a_share(counts: int, shares: dict[str, int]) -> None:
    """Leave the other machines of this user their part. The limits of a user namespace are its own."""
    for name, share in shares.items():
        with contextlib.suppress(OSError):
            limit = os.open(name, os.O_WRONLY, dir_fd=counts)
            os.write(limit, b"%d" % share)
            os.close(limit)


def give_up_capabilities() -> None:
    """What exec does for a command; and nobody can trace this process, whose memory is the supervisor's."""
    if _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 or _libc.capset(CAPABILITY_HEADER, b"\0" * 24) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def os_setns(descriptor: int) -> None:
    if _libc.setns(descriptor, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")


def join_cgroups(entries: list[str]) -> None:
    for entry in entries:
        with open(entry, "w") as file:
            file.write("0")


def reset_signals() -> None:
    """Undo what Python ignores; a command expects the defaults."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), sys.argv[3])
