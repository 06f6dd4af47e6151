"""Running, isolated machines made from images. Choose one by name or by import path ("my_pkg.box:MyBox")."""

from __future__ import annotations

import functools
import importlib
from typing import cast

from swegym.errors import InputError, UnknownName
from swegym.sandbox.limits import Limits
from swegym.sandbox.machines import sweep
from swegym.types import Image, Sandbox, SandboxFactory, Snapshot

BACKENDS = {
    "bubblewrap": "swegym.sandbox.bubblewrap:BubblewrapSandbox",
    "docker": "swegym.sandbox.docker:DockerSandbox",
    "fake": "swegym.sandbox.fake:FakeSandbox",
    "swerex": "swegym.sandbox.swerex:SwerexSandbox",
}

__all__ = ["BACKENDS", "Limits", "open_sandbox", "sandbox_factory", "sweep"]


def open_sandbox(source: Image | Snapshot, backend: str = "bubblewrap", limits: Limits | None = None) -> Sandbox:
    """Start a machine from an image or a snapshot. Raises SandboxUnavailable where the backend cannot work."""
    return sandbox_factory(backend, limits)(source)


def sandbox_factory(backend: str = "bubblewrap", limits: Limits | None = None) -> SandboxFactory:
    """A function that opens sandboxes of one kind with one set of limits.

    What follows the colon after a name, as in `swerex:docker?image=python:3.11`, is for the backend's `with_options`.
    """
    known, _, options = backend.partition(":")
    options = options if known in BACKENDS else ""
    target = BACKENDS.get(known if options else backend, backend)
    module, separator, name = target.partition(":")
    if not separator:
        raise UnknownName.among("sandbox backend", backend, BACKENDS, "Or give an import path: my_pkg.box:MyBox.")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"sandbox backend {backend!r} cannot be imported: {error}. Check the path.") from error
    if options:
        if not hasattr(kind, "with_options"):
            raise InputError(f"sandbox backend {backend!r}: {known} takes no options. Say {known!r} alone.")
        kind = kind.with_options(options)
    return cast(SandboxFactory, functools.partial(kind, limits=limits or Limits()))
