import subprocess
import sys

from swegym.policies.reproduction import reproduction

ISSUE = """It is wrong:

    >>> word = "a'b"
    >>> word.upper()
    "A'B"

and also

    >>> word.lower()
    'WRONG'
    >>> for x in (1, 2):
    ...     print(x)
    1
    2
    >>> 1 / 0
    Traceback (most recent call last):
        ...
    ZeroDivisionError: division by zero
"""


def test_each_example_with_a_result_is_a_test_with_what_went_before(tmp_path):
    (tmp_path / "test_issue.py").write_text(reproduction(ISSUE))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA", "test_issue.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "3 passed" in done.stdout and "1 failed" in done.stdout, done.stdout
    assert "FAILED test_issue.py::test_example[2]" in done.stdout
    assert "WRONG" in done.stdout


def test_an_issue_without_examples_makes_nothing():
    assert reproduction("It is wrong, see >>> here") == ""
    assert reproduction("    >>> import this\n") == ""


def test_prompts_that_are_not_well_formed_make_nothing():
    assert reproduction("    >>> f(1,\n  ...    2)\n    3\n") == ""
