"""Search file contents, like ripgrep."""

from __future__ import annotations

from swegym.tools.base import ToolContext, ToolError, tool

_MOST_FILES = 200
_LONGEST_LINE = 300


@tool
def search(
    context: ToolContext, pattern: str, path: str = ".", glob: str = "", ignore_case: bool = False, limit: int = 100
) -> str:
    """Search text files for a regular expression. Each match is shown as path:line:text.

    Files of git itself and binary files are left out.

    Args:
        pattern: A Perl-compatible regular expression, matched within one line.
        path: The folder or file to search, relative to the repository's root or absolute.
        glob: Only files whose name matches this, e.g. *.py.
        ignore_case: Whether upper and lower case are the same.
        limit: The most matches to show, up to 1000.
    """
    if "\0" in pattern or "\0" in glob or "\n" in pattern:
        raise ToolError("The pattern must be one line without NUL characters.")
    if not pattern:
        raise ToolError("The pattern is empty.")
    if limit < 1:
        raise ToolError("limit counts from 1.")
    limit = min(limit, 1000)
    absolute = context.path(path)
    # Relative to the repository, so that what is printed can be given to the other tools as it is.
    inside = absolute == context.task.workdir or absolute.startswith(context.task.workdir + "/")
    target = absolute[len(context.task.workdir) + 1 :] or "." if inside else absolute
    options = ["-I", "-P", *(["-i"] if ignore_case else []), "-e", pattern]
    chosen = ["--devices=skip", "--exclude-dir=.git", *([f"--include={glob}"] if glob else [])]
    files = _grep(context, path, ["-r", "-l", "-Z", *chosen, *options, "--", target])
    names = sorted(name for name in files.split("\0") if name)
    if not names:
        return "[no match]"
    # -m stops in one file with many matches, so that others are seen too.
    found = _grep(context, path, ["-n", "-H", "-Z", "-m", str(limit + 1), *options, "--", *names[:_MOST_FILES]])
    matches = [row for row in found.split("\n") if "\0" in row]
    shown = [_format(row) for row in matches[:limit]]
    if len(matches) > limit or len(names) > _MOST_FILES:
        shown.append(f"[more matches in {len(names)} files; narrow the pattern, path or glob]")
    return "\n".join(shown)


def _grep(context: ToolContext, path: str, arguments: list[str]) -> str:
    timeout = min(60.0, max(context.seconds_left, 1.0))
    result = context.sandbox.exec(["grep", *arguments], cwd=context.task.workdir, timeout=timeout)
    if result.timed_out:
        raise ToolError(f"The search took more than {timeout:g} seconds. Narrow the pattern or the path.")
    # grep also exits with 2 when one file of many could not be read; what it found elsewhere still counts.
    if result.exit_code >= 2 and not result.stdout:
        problem = result.stderr.decode("utf-8", "replace").strip().removeprefix("grep: ")
        if "o such file" in problem:
            raise ToolError(f"{path} does not exist. Relative paths start at {context.task.workdir}.")
        raise ToolError(f"The search failed: {problem or f'grep exited with {result.exit_code}'}.")
    return result.stdout.decode("utf-8", "replace")


def _format(row: str) -> str:
    name, _, rest = row.partition("\0")
    number, _, text = rest.partition(":")
    text = text.removesuffix("\r")
    cut = f"{text[:_LONGEST_LINE]} [...]" if len(text) > _LONGEST_LINE else text
    return f"{name.removeprefix('./')}:{number}:{cut}"
