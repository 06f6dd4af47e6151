"""The split hides whole test functions, leaves everything else, and gives either half a failing test."""

import textwrap

import pytest

from swegym.errors import TaskError
from swegym.tasks.split import deal, read_suite, without

PATH = "tests/test_a.py"
SUITE = (
    textwrap.dedent('''
    """Tests."""
    import pytest

    HELP = 1


    # about one
    @pytest.mark.parametrize(
        "x", [1, 2]
    )
    def test_one(x):
        assert x
        # trailing thought


    async def test_two():
        text = """
    # not a comment
    """

    class TestBox:
        """A box."""

        def helper(self):
            return 1

        def test_three(self): pass

        @pytest.mark.skip
        def test_four(self):
            assert 1


    class TestOnly:
        def test_five(self):
            assert 1


    if HELP:
        def test_six():
            assert 1
''')
    .lstrip()
    .encode()
)

ALL = ["test_one", "test_two", "TestBox::test_three", "TestBox::test_four", "TestOnly::test_five", "test_six"]


def names(data):
    return [name.partition("::")[2] for name in read_suite({PATH: data}).functions]


def cut(*hidden):
    return without(PATH, SUITE, {f"{PATH}::{name}" for name in hidden})


def test_functions_are_listed_as_written():
    assert names(SUITE) == ALL


@pytest.mark.parametrize("hidden", ALL)
def test_one_hidden_function_goes_and_the_others_stay(hidden):
    assert names(cut(hidden)) == [name for name in ALL if name != hidden]


def test_all_hidden_leaves_a_file_that_still_is_python():
    data = cut(*ALL)
    assert names(data) == []
    compile(data, PATH, "exec")
    assert b"def helper" in data
    assert b"HELP = 1" in data


def test_decorators_and_comments_that_belong_to_a_hidden_function_go_with_it():
    data = cut("test_one")
    assert b"parametrize" not in data
    assert b"about one" not in data
    assert b"trailing thought" not in data


def test_an_emptied_body_becomes_pass():
    assert b"class TestOnly:\n    pass\n" in cut("TestOnly::test_five")


def test_nothing_hidden_changes_nothing():
    assert cut() == SUITE


def test_windows_line_ends_stay():
    data = SUITE.replace(b"\n", b"\r\n")
    kept = without(PATH, data, {f"{PATH}::TestOnly::test_five"})
    assert kept.count(b"\n") == kept.count(b"\r\n")


def test_files_that_are_not_python_are_an_error_that_names_them():
    with pytest.raises(TaskError, match=PATH):
        without(PATH, b"def (", {f"{PATH}::x"})


def test_parameters_belong_to_their_function():
    suite = read_suite({PATH: SUITE})
    assert suite.owner(f"{PATH}::test_one[b::c-1]") == f"{PATH}::test_one"


def test_an_inherited_test_belongs_to_the_base_class():
    data = b"class A:\n  def test_x(self): pass\nclass B(A): pass\nclass C(B, Other):\n  def test_y(self): pass\n"
    suite = read_suite({PATH: data})
    assert suite.owner(f"{PATH}::C::test_x[1]") == f"{PATH}::A::test_x"
    assert suite.owner(f"{PATH}::C::test_y") == f"{PATH}::C::test_y"
    assert suite.owner(f"{PATH}::C::test_elsewhere") not in suite.functions


FUNCTIONS = [f"{PATH}::test_{number}" for number in range(40)]


@pytest.mark.parametrize("seed", range(20))
def test_either_half_holds_a_failing_test(seed):
    failing = {FUNCTIONS[3], FUNCTIONS[30]}
    hidden = deal(FUNCTIONS, failing, seed)
    assert len(failing & hidden) == 1
    assert len(hidden) == 20


def test_the_deal_depends_on_ids_and_seed_alone():
    failing = set(FUNCTIONS[:3])
    assert deal(FUNCTIONS, failing, 1) == deal(reversed(FUNCTIONS), failing, 1)
    assert deal(FUNCTIONS, failing, 1) != deal(FUNCTIONS, failing, 2)


def test_one_failing_function_cannot_be_split():
    with pytest.raises(TaskError, match="1 test function"):
        deal(FUNCTIONS, {FUNCTIONS[0]}, 0)
