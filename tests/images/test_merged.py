"""A root file system whose /bin and /lib lie beside /usr becomes one whose links lead into it, and nothing is lost."""

from pathlib import Path

from swegym.images.merged import merge_usr


def root(tmp_path: Path, files: dict[str, str], links: dict[str, str]) -> Path:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name, target in links.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(target)
    return tmp_path


def test_programs_and_libraries_move_and_their_folders_become_links(tmp_path: Path) -> None:
    tree = root(tmp_path, {"bin/bash": "bash", "lib/x/libc.so": "c", "usr/lib/x/libm.so": "m", "usr/bin/env": "e"}, {})
    merge_usr(tree)
    assert (tree / "bin").readlink() == Path("usr/bin") and (tree / "lib").readlink() == Path("usr/lib")
    assert {
        name: (tree / "usr" / name).read_text() for name in ("bin/bash", "bin/env", "lib/x/libc.so", "lib/x/libm.so")
    }
    assert not (tree / "lib64").exists()


def test_links_lead_where_they_led(tmp_path: Path) -> None:
    links = {
        "bin/sh": "dash",
        "usr/bin/which": "/bin/which",  # only said where the other one is
        "bin/awk": "/usr/bin/awk",
        "lib64/loader": "../lib/x/loader-1",
        "bin/editor": "../etc/editor",
    }
    files = {
        "bin/dash": "dash",
        "bin/which": "which",
        "usr/bin/awk": "awk",
        "lib/x/loader-1": "loader",
        "etc/editor": "ed",
    }
    tree = root(tmp_path, files, links)
    merge_usr(tree)
    assert (tree / "bin/sh").read_text() == "dash"
    assert (tree / "usr/bin/which").read_text() == "which" and (tree / "usr/bin/awk").read_text() == "awk"
    assert not (tree / "usr/bin/awk").is_symlink()
    assert str((tree / "usr/lib64/loader").readlink()) == "/lib/x/loader-1"
    assert str((tree / "usr/bin/editor").readlink()) == "/etc/editor"


def test_a_merged_root_stays_as_it_is(tmp_path: Path) -> None:
    tree = root(tmp_path, {"usr/bin/bash": "bash"}, {"bin": "usr/bin"})
    merge_usr(tree)
    assert (tree / "bin").readlink() == Path("usr/bin") and (tree / "bin/bash").read_text() == "bash"
