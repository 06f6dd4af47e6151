"""A recipe that is wrong says which file, field and value, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from swegym.errors import InputError
from swegym.tasks.recipe import PyPIRecipe, expected_ids, read_recipe, read_set_file

GOOD = """
source = "pypi"
package = "calc"
buggy = { version = "1.0", sha256 = "AAAA" }
fixed = { version = "1.1", sha256 = "BBBB" }
source_paths = ["src/calc"]
test_paths = ["tests"]
pythonpath = ["src"]
requirements = ["attrs==25.4.0"]
issue = '''
Adding two numbers gives their difference, which is wrong.
'''

[fail_to_pass]
"tests/test_add.py" = ["test_add[1-2]", "TestAdd::test_more"]

[pass_to_pass]
"tests/test_sub.py" = ["test_sub"]
""".replace("AAAA", "a" * 64).replace("BBBB", "b" * 64)


def write(folder: Path, text: str) -> Path:
    file = folder / "calc-1.0-1.1.toml"
    file.write_text(text)
    return file


def test_a_good_recipe_is_read_and_its_ids_are_those_of_pytest(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, GOOD))
    assert isinstance(recipe, PyPIRecipe)
    assert recipe.version == "1.0"
    assert expected_ids(recipe.fail_to_pass) == (
        "tests/test_add.py::test_add[1-2]",
        "tests/test_add.py::TestAdd::test_more",
    )
    assert recipe.setup().visible == ("tests",)
    assert recipe.setup().pythonpath == ("src",)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('source = "pypi"', 'source = "cvs"', "source"),
        ('source = "pypi"', "", "source"),
        ('"calc"\nbuggy', '"../calc"\nbuggy', "package"),
        ("a" * 64, "a" * 63, "buggy.sha256"),
        ("a" * 64, "A" * 64, "buggy.sha256"),
        ('version = "1.1", ', "", "fixed.version"),
        ('["src/calc"]', '["/src/calc"]', "source_paths.0"),
        ('["src/calc"]', '["src/../../calc"]', "source_paths.0"),
        ('["src/calc"]', "[]", "source_paths"),
        ('"attrs==25.4.0"', '"attrs>=25"', "requirements.0"),
        ('"attrs==25.4.0"', '"attrs==25.*"', "requirements.0"),
        ('"attrs==25.4.0"', '"attrs @ file:///x"', "requirements.0"),
        ("Adding two numbers gives their difference, which is wrong.", "Wrong.", "issue"),
        ("requirements", "requirement", "requirement"),
        ('["src"]', '["src"]\ntimeout = 0', "timeout"),
        ('["src"]', '["src"]\ntimeout = "long"', "timeout"),
    ],
)
def test_a_bad_field_is_named_with_file_value_and_remedy(tmp_path: Path, old: str, new: str, field: str) -> None:
    assert old in GOOD
    file = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(InputError) as caught:
        read_recipe(file)
    message = str(caught.value)
    assert str(file) in message
    assert f"{field} = " in message or f"{field} is missing" in message
    assert message.count(". ") >= 1 and message.rstrip(")").endswith(".")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"tests/test_add.py" = ["test_add[1-2]", "TestAdd::test_more"]', "", "nothing would decide"),
        ('"tests/test_sub.py" = ["test_sub"]', '"tests/test_add.py" = ["TestAdd::test_more"]', "and in pass_to_pass"),
        ('"tests/test_sub.py"', '"other/test_sub.py"', "not under test_paths"),
    ],
)
def test_tests_that_make_no_task_are_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_recipe(write(tmp_path, GOOD.replace(old, new)))


def test_broken_toml_names_the_file_and_the_place(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD.replace("[fail_to_pass]", "[fail_to_pass"))
    with pytest.raises(InputError, match=rf"{file}: not valid TOML: .*line \d+"):
        read_recipe(file)


def test_a_set_file_with_a_pointer_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "set.toml"
    file.write_text('name = "demo"\nversion = "1"\ndescription = ""\ninclude = ["pypi"]\n')
    with pytest.raises(InputError, match=r"include\.0"):
        read_set_file(file)
