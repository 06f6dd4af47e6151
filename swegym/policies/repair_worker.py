"""What the repair student runs inside the sandbox; it needs Python, pytest and coverage, and nothing of swegym.

    python repair_worker.py trace REQUEST.json    run the tests; which fail, and which lines they execute
    python repair_worker.py try REQUEST.json      try edits, each in a process of its own; which make the tests pass

Results are one line of JSON on stdout behind the word RESULT. No file of the repository is ever written: a tried edit
exists only in the import system of the process that tries it.
"""

import contextlib
import importlib
import importlib.machinery
import json
import os
import select
import signal
import sys
import time

STATE = "state.json"  # beside the request: what `trace` leaves for `try`
OPTIONS = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", "-p", "no:cov", "-o", "addopts="]


class Watch:
    """A pytest plugin: the outcome and seconds of every test, and when to stop."""

    def __init__(self, only=None, seconds=None, until_broken=(), cov=None):
        self.only, self.until_broken, self.cov = only, until_broken, cov
        self.deadline = None if seconds is None else time.monotonic() + seconds
        self.statuses, self.messages, self.durations = {}, {}, {}
        self.stopped = False

    def pytest_collection_modifyitems(self, config, items):
        if self.only is not None:
            items[:] = [item for item in items if item.nodeid in self.only]

    def pytest_runtest_logstart(self, nodeid, location):
        if self.cov is not None:
            self.cov.switch_context(nodeid)

    def pytest_runtest_logreport(self, report):
        name = report.nodeid
        self.durations[name] = self.durations.get(name, 0.0) + report.duration
        status = report.outcome
        if hasattr(report, "wasxfail"):
            status = "xfailed"
        elif status == "failed" and report.when != "call":
            status = "error"
        if self.statuses.get(name) in (None, "passed"):
            self.statuses[name] = status
        if report.failed and name not in self.messages:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.messages[name] = (crash.message if crash else str(report.longrepr))[:200]

    def pytest_collectreport(self, report):
        if report.failed:
            self.statuses[report.nodeid] = "error"
            self.messages[report.nodeid] = str(report.longrepr)[-200:]

    def pytest_runtest_logfinish(self, nodeid, location):
        if self.cov is not None:
            self.cov.switch_context("")

    def pytest_runtest_protocol(self, item, nextitem):
        late = self.deadline is not None and time.monotonic() > self.deadline
        broken = any(self.statuses.get(name, "passed") != "passed" for name in self.until_broken)
        if late or broken:
            self.stopped = True
            item.session.shouldstop = "enough"
            return True
        return None


def run_pytest(arguments, watch):
    """One pytest session in this process, its output thrown away."""
    import pytest

    with open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        return pytest.main([*OPTIONS, "--rootdir", os.getcwd(), *arguments], plugins=[watch])


# --- trace ------------------------------------------------------------------------------------------------------------


def trace(request, folder):
    import coverage

    root = os.getcwd()
    before = set(sys.modules)
    skipped = [os.path.join(root, path) for path in request["visible"]]
    skipped = [path if path.endswith(".py") else os.path.join(path, "*") for path in skipped]
    cov = coverage.Coverage(data_file=None, include=[os.path.join(root, "*")], omit=skipped, messages=False)
    watch = Watch(seconds=request["seconds"], cov=cov)
    started = time.monotonic()
    cov.start()
    run_pytest([*request["visible"], *request["extra"]], watch)
    cov.stop()
    issue = [
        name for name in watch.statuses if any(name.startswith(f"{os.path.relpath(p)}::") for p in request["extra"])
    ]
    failing = [name for name, status in watch.statuses.items() if status in ("failed", "error")]
    failing.sort(key=lambda name: name not in issue)
    # An example of the issue that passes may show the bug, so it neither clears a line nor has to stay as it is.
    passing = [name for name, status in watch.statuses.items() if status == "passed" and name not in issue]
    outside = [
        name
        for name, module in list(sys.modules.items())
        if name not in before and not _within(getattr(module, "__file__", None) or root, root)
    ]
    with open(os.path.join(folder, STATE), "w") as file:
        state = {"failing": failing, "passing": passing, "durations": watch.durations, "modules": outside}
        json.dump(state, file)
    spectra, functions, names = {}, {}, {}
    for path, runs in _spectra(cov.get_data(), set(failing), set(passing)):
        short = os.path.relpath(path, root)
        spectra[short] = runs
        functions[short], names[short] = outline(path, runs)
    for short in request["outline"]:
        functions[short], names[short] = outline(os.path.join(root, short))
    return {
        "failed": len(failing),
        "passed": len(passing),
        "messages": [f"{name}: {watch.messages.get(name, '')}" for name in failing[:5]],
        "complete": not watch.stopped,
        "spectra": spectra,
        "functions": functions,
        "names": names,
        "seconds": round(time.monotonic() - started, 2),
    }


def _within(path, root):
    return os.path.realpath(path).startswith(os.path.realpath(root) + os.sep) or path == root


def _spectra(data, failing, passing):
    """Per file: runs [first, last, failed, passed] of neighbouring lines that failing tests execute."""
    for path in sorted(data.measured_files()):
        runs = []
        for line, contexts in sorted(data.contexts_by_lineno(path).items()):
            failed, passed = len(failing.intersection(contexts)), len(passing.intersection(contexts))
            if failed == 0:
                continue
            if runs and runs[-1][1] == line - 1 and runs[-1][2:] == [failed, passed]:
                runs[-1][1] = line
            else:
                runs.append([line, line, failed, passed])
        if runs:
            yield path, runs


def outline(path, runs=None):
    """Parts [name, first, last] of a file, and the names that it defines at its top level.

    A part is a function with its decorators, or a statement outside of functions, whose name is "". With `runs` only
    the functions that they touch are listed.
    """
    import ast

    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return [], []
    parts = []

    def visit(body, prefix):
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                if runs is None or any(run[0] <= node.end_lineno and node.body[0].lineno <= run[1] for run in runs):
                    parts.append([prefix + node.name, first, node.end_lineno])
            elif isinstance(node, ast.ClassDef):
                visit(node.body, prefix + node.name + ".")
            elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.If, ast.Try)):
                parts.append(["", node.lineno, node.end_lineno])

    visit(tree.body, "")
    names = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names += [(alias.asname or alias.name).split(".")[0] for alias in node.names]
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return parts, names


# --- try --------------------------------------------------------------------------------------------------------------


def attempt(request, folder):
    """Try edits [path, first, last, new] in order, until one passes everything or the time or the list is at its end."""
    with open(os.path.join(folder, STATE)) as file:
        state = json.load(file)
    started = time.monotonic()
    deadline = started + request["seconds"]
    sys.dont_write_bytecode = False  # rewritten test modules are compiled once, outside the repository
    sys.pycache_prefix = os.path.join(folder, "bytecode")
    for name in ["pytest", "_pytest.assertion.rewrite", *state["modules"]]:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    durations, passing = state["durations"], set(state["passing"])
    targets = quick(state["failing"], durations)
    regular = 3.0 + 4.0 * sum(durations.get(name, 0.0) for name in targets)
    whole = 10.0 + 4.0 * sum(durations.values())
    everything = [*request["visible"], *request["extra"]]
    tried, best, partial, most = 0, None, None, 0
    for index, edit in enumerate(request["edits"]):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        tried += 1
        statuses = in_child(edit, files_of(targets), min(regular, left + 1.0), only=set(targets))
        fixed = sum(statuses.get(name) == "passed" for name in targets)
        if fixed == 0 or (fixed < len(targets) and fixed <= most):
            continue
        statuses = in_child(edit, everything, whole, until_broken=passing)
        if any(statuses.get(name) != "passed" for name in passing):
            continue
        fixed = sum(statuses.get(name) == "passed" for name in state["failing"])
        if fixed == len(state["failing"]):
            best = index
            break
        if fixed > most:
            partial, most = index, fixed
    return {
        "tried": tried,
        "best": best,
        "partial": partial,
        "fixed": most,
        "seconds": round(time.monotonic() - started, 2),
    }


def quick(targets, durations, seconds=1.0, most=8):
    """A few targets that together take about `seconds`, the fastest first."""
    chosen, spent = [], 0.0
    for name in sorted(targets, key=lambda each: (durations.get(each, 0.0), each)):
        if chosen and (len(chosen) == most or spent + durations.get(name, 0.0) > seconds):
            break
        chosen.append(name)
        spent += durations.get(name, 0.0)
    return chosen


def files_of(names):
    return list(dict.fromkeys(name.split("::")[0] for name in names))


def in_child(edit, arguments, seconds, only=None, until_broken=()):
    """The statuses of tests under an edit, run in a fork of this process; {} if it crashes or takes too long."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            os.close(reader)
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.dup2(0, 1)
            os.dup2(0, 2)
            overlay(*edit)
            watch = Watch(only=only, until_broken=until_broken)
            run_pytest(arguments, watch)
            with os.fdopen(writer, "wb") as file:
                file.write(json.dumps(watch.statuses).encode())
        finally:
            os._exit(0)
    os.close(writer)
    answer, end = b"", time.monotonic() + seconds
    with os.fdopen(reader, "rb", buffering=0) as file:
        while True:
            ready, _, _ = select.select([file], [], [], max(0.0, end - time.monotonic()))
            chunk = file.read(65536) if ready else b""
            if not chunk:
                break
            answer += chunk
    for kill, target in ((os.killpg, child), (os.kill, child)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(target, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        return json.loads(answer)
    except ValueError:
        return {}


def overlay(path, first, last, new):
    """Make this process import `path` with its lines first to last replaced; the file itself stays as it is."""
    real = os.path.realpath(path)
    with open(real, "rb") as file:
        lines = file.read().splitlines(keepends=True)
    lines[first - 1 : last] = [new.encode()]
    data = b"".join(lines)
    loader = importlib.machinery.SourceFileLoader
    get_data, path_stats = loader.get_data, loader.path_stats

    def changed_data(self, name):
        return data if os.path.realpath(name) == real else get_data(self, name)

    def changed_stats(self, name):
        if os.path.realpath(name) == real:
            raise OSError("compiled anew, never from or to a bytecode file")
        return path_stats(self, name)

    loader.get_data, loader.path_stats = changed_data, changed_stats


def main():
    command, path = sys.argv[1:]
    with open(path) as file:
        request = json.load(file)
    sys.path.insert(0, os.getcwd())
    result = {"trace": trace, "try": attempt}[command](request, os.path.dirname(os.path.abspath(path)))
    print("RESULT " + json.dumps(result, separators=(",", ":")))


if __name__ == "__main__":
    main()
