"""`swegym images`: base images that machines start from, besides the host itself."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from swegym.cli.image_trim import trim
from swegym.cli.options import Json
from swegym.cli.screen import print_json, say, show_table

app = typer.Typer(
    no_args_is_help=True,
    help="""Base images: Debian root file systems, and images of others.

\b
  swegym images list                                  what there is, and what is in the store
  swegym images build debian-bookworm                 make a root file system with mmdebstrap
  swegym images import docker://python:3.12 -n py312  take an image of the engine into the store
  swegym images export debian-trixie docker://my/tag  hand one over to the engine
  swegym images trim 20GB                             bring the store down to a size
""",
)
app.command("trim")(trim)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a base image; `swegym images list` shows them.")]


@app.command("list")
def list_images(as_json: Json = False) -> None:
    """Show base images.

    \b
    Examples:
      swegym images list
      swegym images list --json
    """
    from swegym.images import rootfs

    described, stored = rootfs.described(), rootfs.recorded()
    rows = []
    for name in sorted({*described, *stored}):
        source = stored.get(name, {}).get("source") or described[name].get("suite") or "this machine"
        state = "ready" if name in stored or described.get(name, {}).get("kind") == "host" else "not built"
        rows.append({"name": name, "source": source, "state": state})
    if as_json:
        print_json(rows)
    else:
        show_table(("base image", "from", "state"), [(row["name"], row["source"], row["state"]) for row in rows])


@app.command()
def build(names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Base images to build.")]) -> None:
    """Make Debian root file systems; a minute or two each, once.

    \b
    Examples:
      swegym images build debian-bookworm
      swegym images build debian-bullseye debian-trixie
    """
    from swegym.images import rootfs

    for name in names:
        started = time.monotonic()
        say(f"{name}: building")
        cached = rootfs.build(name)
        say(f"{name}: " + ("was there already" if cached else f"built in {time.monotonic() - started:.0f} s"))


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="docker://REF, oci:DIR, or a TAR of an image.")],
    name: Annotated[str, typer.Option("-n", "--name", metavar="NAME", help="What the base image is called here.")],
) -> None:
    """Take an image into the store, so that sandboxes without a daemon can start from it. Nothing is pulled.

    \b
    Examples:
      swegym images import docker://python:3.12-slim -n python-3.12
      swegym images import oci:./layout -n mine
      swegym images import saved.tar -n mine
    """
    from swegym.images.imports import import_image

    image = import_image(source, name)
    say(f"{name}: ready, working directory {image.workdir}")


@app.command()
def export(
    name: Name,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="docker://TAG, or a file for `docker load`.")],
) -> None:
    """Hand a base image to a container engine, or write a file for one.

    \b
    Examples:
      swegym images export debian-bookworm docker://swegym/debian:bookworm
      swegym images export debian-bookworm bookworm.tar
    """
    from swegym.images import rootfs
    from swegym.images.exports import export_image

    export_image(rootfs.load(name), target)
    say(f"{name}: written to {target}")
