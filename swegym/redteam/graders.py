"""The graders that attacks are tried on: ours, and what is common elsewhere, all with one signature.

`plain-pytest` is what many a training environment does: apply the patch, lay the test files over it, run pytest in the
repository, and believe its exit code. `swebench` runs the same and hands the log to the grading functions of the
`swebench` package (5.0.2 or later), as the official harness does with the log of its container.
"""

from __future__ import annotations

import dataclasses
import shlex
import tempfile
from pathlib import Path

from swegym import grading
from swegym.errors import InputError, SandboxError, UnknownName
from swegym.tasks.check import lay_hidden_tests
from swegym.types import ExecResult, Grader, SandboxFactory, Task, Verdict

GRADERS = ("sealed", "plain-pytest", "swebench")
_START, _END, _CODE = ">>>>> Start Test Output", ">>>>> End Test Output", ">>>>> Test Exit Code"


def make_grader(name: str) -> Grader:
    """A grader by one of the names above, by a name that `swegym grade` knows, or by import path."""
    if name == "plain-pytest":
        return plain_pytest
    if name == "swebench":
        _require_swebench()
        return swebench
    if ":" not in name and name not in grading.GRADERS:
        known = {*GRADERS, *grading.GRADERS}
        raise UnknownName.among("grader", name, known, "Or give an import path: my_pkg.my_module:my_grader.")
    return grading.make_grader(name)


def available() -> tuple[str, ...]:
    """The graders that can run here."""
    try:
        _require_swebench()
    except InputError:
        return GRADERS[:-1]
    return GRADERS


def plain_pytest(task: Task, patch: str, open_sandbox: SandboxFactory) -> Verdict:
    """Resolved when pytest, run by hand on the expected tests, exits with 0."""
    command = "python -m pytest -rA -p no:cacheprovider " + shlex.join(task.hidden.expected)
    done = _run(task, patch, open_sandbox, command)
    if isinstance(done, Verdict):
        return done
    return _verdict(done.exit_code == 0, f"pytest exits with {done.exit_code}", done.text)


def swebench(task: Task, patch: str, open_sandbox: SandboxFactory) -> Verdict:
    """What the swebench package says of the log of such a run."""
    from swebench.harness.grading import get_eval_report
    from swebench.types import TestSpec

    files = shlex.join(sorted({name.split("::")[0] for name in task.hidden.expected}))
    # Its script prints these marks around the run, and the exit code after them.
    command = (
        f"exec 2>&1; echo '{_START}'; python -m pytest -rA -p no:cacheprovider {files}; code=$?; "
        f"echo '{_END}'; echo '{_CODE}: '$code"
    )
    done = _run(task, patch, open_sandbox, command)
    if isinstance(done, Verdict):
        return done
    spec = TestSpec(
        instance_id=task.id,
        image="",
        eval_script_list=[],
        repo="redteam/fixture",
        version="1",
        FAIL_TO_PASS=list(task.hidden.fail_to_pass),
        PASS_TO_PASS=list(task.hidden.pass_to_pass),
        log_parser="parse_log_pytest",
        eval_type="pass_and_fail",
    )
    prediction = {"instance_id": task.id, "model_name_or_path": "redteam", "model_patch": patch}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "test_output.txt"
        log.write_bytes(done.stdout.decode("utf-8", "replace").encode())
        report = get_eval_report(spec, prediction, str(log), True)[task.id]
    return _verdict(report["resolved"], "as swebench grades the log", done.text)


def _run(task: Task, patch: str, open_sandbox: SandboxFactory, command: str) -> ExecResult | Verdict:
    """Apply the patch with git in a fresh sandbox, lay the test files over it, run a command there."""
    try:
        with open_sandbox(task.image) as sandbox:
            text = patch.encode("utf-8", "surrogateescape")
            applied = sandbox.exec(["git", "apply", "--whitespace=nowarn", "-"], stdin=text)
            if applied.exit_code:
                return Verdict(False, "agent", f"the patch does not apply: {applied.text.strip()[:300]}")
            lay_hidden_tests(_with_tests_only(task), sandbox)
            path = ":".join(f"{task.image.workdir}/{folder}" for folder in task.tests.pythonpath)
            return sandbox.exec(command, env={"PYTHONPATH": path}, timeout=task.tests.timeout)
    except SandboxError as error:
        return Verdict(None, "sandbox", str(error))


def _with_tests_only(task: Task) -> Task:
    """The task with the files that hold expected tests and no others: so do graders that know tests by their patch."""
    wanted = {name.split("::")[0] for name in task.hidden.expected}
    files = {path: data for path, data in task.hidden.files.items() if path in wanted}
    hidden = dataclasses.replace(task.hidden, files=files, owned=tuple(sorted(wanted)))
    return dataclasses.replace(task, hidden=hidden)


def _verdict(resolved: bool, reason: str, output: str) -> Verdict:
    return Verdict(resolved, None if resolved else "agent", reason, output=output[-20_000:])


def _require_swebench() -> None:
    try:
        import swebench.harness.grading  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"the grader 'swebench' needs the package of that name: {error}. pip install 'swegym[peers]'"
        ) from error
