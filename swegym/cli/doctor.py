"""`swegym doctor`: is this machine ready, and what to do where it is not. Touches the network only when asked to."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from swegym import paths
from swegym.cli.options import Json
from swegym.cli.progress import Board
from swegym.cli.screen import print_json, say, show_table
from swegym.errors import SwegymError

CAN_CARRY_OVERLAYS = ("ext4", "xfs", "btrfs", "tmpfs", "f2fs", "bcachefs", "zfs")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor: what was looked at, how it is, and the remedy where it is not well."""

    name: str
    state: Literal["ok", "warn", "missing"]
    detail: str
    remedy: str = ""


def doctor(
    clean: Annotated[bool, typer.Option("--clean", help="Remove what killed runs left behind.")] = False,
    network: Annotated[bool, typer.Option("--network", help="Also ask the package index for one package.")] = False,
    sandbox: Annotated[
        str | None,
        typer.Option(
            "--sandbox", metavar="NAME", help="Run the sandbox contract: bubblewrap, fake or my_pkg.box:MyBox."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say whether this machine is ready, and what to do where it is not.

    \b
    Examples:
      swegym doctor                        every check, a second or two
      swegym doctor --network              also whether the package index answers
      swegym doctor --clean                first sweep what killed runs left
      swegym doctor --sandbox bubblewrap   prove the sandbox against its contract
      swegym doctor --json                 for programs
    """
    findings: list[Finding] = []
    if clean:
        findings += [swept(), *swept_engine()]
    if sandbox is not None:
        findings += contract(sandbox)
    else:
        findings += examine(network=network)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        show_table(("check", "state", "found"), [(finding.name, finding.state, finding.detail) for finding in findings])
        for finding in findings:
            if finding.remedy:
                say(f"{finding.name}: {finding.remedy}")
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)
    if not as_json:
        say("Ready. Next: swegym demo" if sandbox is None else f"{sandbox} keeps the contract.")


def examine(*, network: bool = False) -> list[Finding]:
    """All checks, in the order in which a failure of one explains those of the next."""
    checks: list[Callable[[], Finding]] = [python, kernel, user_namespaces, store_file_system, sandbox_opens, git]
    findings = [check() for check in checks]
    findings += limits()
    findings += [disk(), store()]
    if network:
        findings.append(index())
    return findings


def python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")


def kernel() -> Finding:
    release = platform.release()
    if platform.system() != "Linux":
        return Finding("kernel", "missing", f"{platform.system()} {release}", "Use Linux, or a Linux virtual machine.")
    numbers = [int(part) if part.isdigit() else 0 for part in release.replace("-", ".").split(".")[:2]]
    if tuple(numbers) < (5, 11):
        return Finding(
            "kernel", "missing", release, "Linux 5.11 is the first that mounts overlays without root; use a newer one."
        )
    return Finding("kernel", "ok", release)


_UNSHARE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print(os.strerror(ctypes.get_errno()) if libc.unshare(0x10000000) else "ok")  # CLONE_NEWUSER
"""


def user_namespaces() -> Finding:
    """Try one in a child process: settings that refuse them are many, the outcome is one."""
    answer = subprocess.run([sys.executable, "-I", "-c", _UNSHARE], capture_output=True, text=True, timeout=30)
    said = answer.stdout.strip() or answer.stderr.strip()
    if said == "ok":
        return Finding("user namespaces", "ok", "allowed")
    remedies = []
    for setting, needed in (
        ("kernel/unprivileged_userns_clone", "1"),  # Debian
        ("kernel/apparmor_restrict_unprivileged_userns", "0"),  # Ubuntu
    ):
        file = Path("/proc/sys", setting)
        if file.exists() and file.read_text().strip() != needed:
            remedies.append(f"sudo sysctl -w {setting.replace('/', '.')}={needed}")
    if said == os.strerror(errno.ENOSPC):  # how the kernel says that there are too many, or that none are allowed
        remedies.append("sudo sysctl -w user.max_user_namespaces=15000")
    container = "start the container with --security-opt seccomp=unconfined, or --privileged"
    return Finding("user namespaces", "missing", f"refused: {said}", "; ".join([*remedies, container]))


def store_file_system() -> Finding:
    home = paths.home()
    kind = file_system(home)
    detail = f"{kind} at {home}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=home).close()
    except OSError as error:
        remedy = "Set SWEGYM_HOME to a folder that you may write to."
        return Finding("store", "missing", f"{detail} cannot be written: {error.strerror}", remedy)
    if kind not in CAN_CARRY_OVERLAYS:
        return Finding(
            "store", "warn", detail, "Overlays may not work there; set SWEGYM_HOME to a folder on ext4, xfs or tmpfs."
        )
    return Finding("store", "ok", detail)


def file_system(path: Path) -> str:
    """The type of the file system that `path` is or would be on."""
    place = path.absolute()
    best, kind = -1, "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, found, *_ = line.split(" ")
        point = Path(mount.encode().decode("unicode_escape"))
        if place.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), found
    return kind


def sandbox_opens() -> Finding:
    from swegym.images.store import make_image
    from swegym.sandbox import open_sandbox

    image = make_image((), {}, workdir="/")
    try:
        with open_sandbox(image):
            pass  # the first one starts the supervisor
        started = time.perf_counter()
        with open_sandbox(image) as box:
            opened = time.perf_counter()
            result = box.exec("true")
            ran = time.perf_counter()
    except SwegymError as error:
        return Finding("sandbox", "missing", "bubblewrap cannot open one", str(error))
    except OSError as error:  # a store that cannot be written, for one
        return Finding("sandbox", "missing", f"cannot be tried: {error}", "Mend what stands above, and try again.")
    if result.exit_code != 0:
        return Finding("sandbox", "missing", f"`true` exited {result.exit_code} in it", result.text.strip())
    opening, running = (opened - started) * 1000, (ran - opened) * 1000
    return Finding("sandbox", "ok", f"bubblewrap opens one in {opening:.1f} ms, runs `true` in {running:.1f} ms")


def limits() -> list[Finding]:
    """One finding for each limit: how it is held."""
    from swegym.sandbox.limits import how_limits_hold

    findings = []
    for name, how in how_limits_hold().items():
        if "not limited" in how:
            remedy = "Run as another user, or where this process may make cgroups."
            findings.append(Finding(f"limit: {name}", "warn", how, remedy))
        else:
            findings.append(Finding(f"limit: {name}", "ok", how))
    return findings


def git() -> Finding:
    path = shutil.which("git")
    if path is None:
        return Finding("git", "missing", "not on the PATH", "Install git, e.g. `apt-get install git`.")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30).stdout.strip()
    return Finding("git", "ok", f"{version.removeprefix('git version ')} at {path}")


def disk() -> Finding:
    place = paths.home()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    detail = f"{size(free)} free for the store"
    if free < 1 << 30:
        return Finding("disk", "warn", detail, "Free some space, or move the store with SWEGYM_HOME.")
    return Finding("disk", "ok", detail)


def store() -> Finding:
    home = paths.home()
    if not home.exists():
        return Finding("store size", "ok", "nothing is stored yet")
    layers = sum(1 for entry in paths.layers().glob("*")) if paths.layers().exists() else 0
    total = 0
    for folder, _, files in os.walk(home):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118
            except FileNotFoundError:
                continue  # another process tidies up
    return Finding("store size", "ok", f"{size(total)} in {layers} layers")


def index() -> Finding:
    from swegym.tasks.sources.pypi import versions

    started = time.perf_counter()
    try:
        versions("tabulate")
    except SwegymError as error:
        return Finding("package index", "missing", "no answer", str(error))
    return Finding("package index", "ok", f"answers in {time.perf_counter() - started:.1f} s")


def swept() -> Finding:
    from swegym.sandbox.machines import sweep

    left = sweep()
    return Finding("clean", "ok", f"removed {len(left)} left-over folders" if left else "nothing was left over")


def swept_engine() -> list[Finding]:
    """Where a container engine answers, what dead owners left there is removed; without one there is nothing to say."""
    from swegym.errors import SandboxUnavailable
    from swegym.sandbox.docker_engine import connect, engine_host, sweep_engine

    try:
        client = connect(engine_host())
    except SandboxUnavailable:
        return []
    try:
        left = sweep_engine(client)
    finally:
        client.close()
    detail = f"removed {len(left)} left-over containers and snapshots" if left else "nothing was left over"
    return [Finding("clean: container engine", "ok", detail)]


def size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


CLAIMS = {"fake": ("files", "exec")}  # what a backend is held to, where that is not everything


def contract(name: str) -> list[Finding]:
    """Run the contract suite against one backend; one finding for each check."""
    from swegym.images.store import make_image
    from swegym.sandbox import sandbox_factory
    from swegym.sandbox.contract import CAPABILITIES, CHECKS, run_contract

    factory = sandbox_factory(name)
    words = {"passed": "ok", "skipped": "skipped", "failed": "failed"}
    with Board(f"contract of {name}", len(CHECKS)) as board:
        results = run_contract(
            factory,
            make_image((), {}),
            CLAIMS.get(name, CAPABILITIES),
            on_result=lambda result: board.end(result.name, words[result.outcome], result.detail),
        )
    states: dict[str, Literal["ok", "warn", "missing"]] = {"passed": "ok", "skipped": "warn", "failed": "missing"}
    return [
        Finding(
            f"{result.capability}: {result.name.replace('_', ' ')}",
            states[result.outcome],
            result.detail or f"{result.seconds:.2f} s",
        )
        for result in results
    ]
