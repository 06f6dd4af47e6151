"""The workshop: a machine with a network, in which a project of somebody else's is installed while an image is built.

Installing runs the project's own code, so it never happens on the host. The workshop sees what a machine of the image
would see, the folders that are being filled, the package index, and a cache of packages that only workshops use.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import uv

from swegym import paths
from swegym.errors import TaskError
from swegym.images import store
from swegym.sandbox.base import USER, argv_of, load_base
from swegym.sandbox.complaints import bubblewrap_path
from swegym.tasks.sources.index import index_settings

UV = "/run/uv"
_CACHE = "/var/tmp/cache"
_NETWORK = ("/etc/resolv.conf", "/etc/ssl", "/etc/ca-certificates", "/etc/pki", "/etc/hosts")
# What of this process's environment says where packages come from.
_PASSED_ON = (
    *("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ssl_cert_file", "uv_index", "uv_default_index"),
    *("uv_index_url", "uv_extra_index_url", "uv_insecure_host", "uv_native_tls", "uv_system_certs"),
)
_TAIL = 3000


class Workshop:
    """A context manager. `folders` maps paths inside to folders of the host that it may write."""

    def __init__(self, base: str, layers: Sequence[Path], folders: Mapping[str, Path]) -> None:
        self._base, self._layers, self._folders = load_base(base), layers, folders
        self._scratch = Path()
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Workshop:
        self._scratch = self._open.enter_context(store.scratch())  # swept when this process dies
        for name in ("upper", "work", "tmp"):
            (self._scratch / name).mkdir()
        (self._scratch / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
        paths.packages().mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for folder, folders, _ in os.walk(self._scratch):
            for name in folders:
                if not Path(folder, name).is_symlink():
                    Path(folder, name).chmod(0o700)  # overlayfs shuts its own working folder
        self._open.close()

    def run(
        self,
        command: str | Sequence[str],
        *,
        what: str,
        cwd: str = "/testbed",
        variables: Mapping[str, str] | None = None,
        timeout: float = 1800.0,
    ) -> str:
        """Run a command and return what it printed. Raises `TaskError` with its last words when it fails."""
        argv = argv_of(command)
        settings = index_settings()
        certificates = settings.certificates or os.environ.get("SSL_CERT_FILE")
        places = (certificates, *settings.find_links, *settings.index_urls)
        own = [path for place in places if place and (path := place.removeprefix("file://")).startswith("/")]
        environment = {
            "HOME": "/home/agent",
            "LANG": "C.UTF-8",
            "UV_CACHE_DIR": _CACHE,
            "UV_LINK_MODE": "copy",
            "UV_NO_PROGRESS": "1",
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            **{name: value for name, value in os.environ.items() if name.lower() in _PASSED_ON},
            **settings.uv_environment(),
            **(variables or {}),
        }
        try:
            done = subprocess.run(
                [*self._arguments(environment, cwd, own), "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                text=True,
                errors="replace",
                env={},
            )
        except subprocess.TimeoutExpired:
            raise TaskError(f"{what} was not done after {timeout:.0f} s.") from None
        if done.returncode:
            raise TaskError(f"{what} failed: {done.stdout.strip()[-_TAIL:]}")
        return done.stdout

    def _arguments(self, environment: Mapping[str, str], cwd: str, own: Sequence[str]) -> list[str]:
        argv = [bubblewrap_path(), "--unshare-all", "--share-net", "--unshare-user", "--die-with-parent"]
        argv += ["--new-session", "--clearenv", "--hostname", "workshop", "--cap-drop", "ALL"]
        argv += ["--uid", str(USER), "--gid", str(USER)]
        for layer in (self._base.layer, *self._layers):
            argv += ["--overlay-src", str(layer)]
        argv += ["--overlay", str(self._scratch / "upper"), str(self._scratch / "work"), "/"]
        for source, inside in self._base.binds:
            argv += ["--ro-bind", source, inside]
        for inside in self._base.masks:
            argv += ["--tmpfs", inside, "--remount-ro", inside]
        argv += ["--proc", "/proc", "--dev", "/dev", "--bind", str(self._scratch / "tmp"), "/tmp"]
        for path in (*_NETWORK, *own):
            if Path(path).exists():
                argv += ["--ro-bind", str(Path(path).resolve()), path]
        argv += ["--ro-bind", str(self._scratch / "nsswitch.conf"), "/etc/nsswitch.conf"]
        argv += ["--ro-bind", uv.find_uv_bin(), UV, "--bind", str(paths.packages()), _CACHE]
        for inside, folder in self._folders.items():
            argv += ["--bind", str(folder), inside]
        for name, value in environment.items():
            argv += ["--setenv", name, value]
        return [*argv, "--chdir", cwd]
