"""Images of the store for container engines: docker://TAG hands one over, a TAR is what `docker load` reads."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO

from swegym import paths
from swegym.errors import InputError
from swegym.sandbox.base import load_base
from swegym.sandbox.docker_engine import connect, engine_host, speaking
from swegym.sandbox.docker_image import trees_of, write_archive
from swegym.types import Image


def export_image(image: Image, target: str) -> None:
    """Write an image with its environment and working directory; each of its layers stays a layer of its own."""
    if image.base == "host":
        raise InputError("base 'host' shows folders of this machine and is no image of its own. Export a Debian base.")
    if target.startswith("docker://"):
        tag = target.removeprefix("docker://")
        with tempfile.TemporaryFile(dir=paths.home()) as file:
            _write(file, image, tag)
            file.seek(0)
            client = connect(engine_host())
            try:
                with speaking(f"handing over {tag}"):
                    for _ in client.api.load_image(file):
                        pass
            finally:
                client.close()
        return
    path = Path(target)
    staged = path.with_name(f".{path.name}.new")
    try:
        with staged.open("w+b") as file:
            _write(file, image, f"swegym/{image.base}:latest")
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def _write(file: IO[bytes], image: Image, tag: str) -> None:
    environment = {**load_base(image.base).environment, **image.environment}
    write_archive(file, trees_of(image), tag, environment=environment, workdir=image.workdir)
