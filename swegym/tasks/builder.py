"""The builder of rows: from a published row and a local clone of its repository to a task.

    clone -- depth 2 -> sealed repository at the base commit ---------------------\
    its own files -> interpreter, requirements as of the row's day -> environment --+-> image
    patches -> reference fix, hidden tests; listed names -> ids that pytest has -----> what decides

No project is known here by name: all is read from its files, and a row's `[build]` says what they do not. Everything
is installed now, in a workshop; judging a patch later runs tests and nothing else.
"""

from __future__ import annotations

import datetime
import hashlib
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from swegym import paths
from swegym.errors import SandboxError, TaskError
from swegym.images import store
from swegym.sandbox import Limits, open_sandbox
from swegym.tasks import checkout, install, interpreters, listed_names, project_files, published, repository
from swegym.tasks.checkout import Changed
from swegym.tasks.clones import clone_of
from swegym.tasks.environment import VARIABLES, VENV
from swegym.tasks.install import Installed
from swegym.tasks.published import Taken
from swegym.tasks.row_recipe import BuildOptions, RowRecipe
from swegym.tasks.workshop import Workshop
from swegym.types import HiddenTests, Image, OfficialTests, Task, TestSetup

Step = Literal["sources", "environment", "repository"]
WORKDIR = "/testbed"
_NO_TESTS = (".json", ".png", ".csv", ".txt", ".md", ".jpg", ".jpeg", ".pkl", ".yml", ".yaml", ".toml", ".rst", ".cfg")
_BYPRODUCTS = re.compile(r"(^|/)(build|dist|\.eggs|__pycache__|[^/]+\.egg-info|[^/]+\.pyc)(/|$)")
_COLLECT_SECONDS = 300.0
_MOST_UNKNOWN = 0.2  # of the listed names; with more, they are no ids of pytest's


@dataclass(frozen=True, slots=True)
class _Environment:
    layers: tuple[str, ...]
    installed: Installed
    python: str


def assemble(
    task: str, home: str, recipe: RowRecipe, folder: Path, set_folder: Path, on_step: Callable[[Step], None]
) -> Task:
    """Build one row in `folder`, an empty place in the store's scratch space; its layers go into the store.

    The returned task's `pristine` still lies in `folder`. Raises `TaskError` for what is wrong with this row.
    """
    on_step("sources")
    options = recipe.build
    layer, pristine = folder / "layer", folder / "pristine.git"
    tree = layer / WORKDIR.lstrip("/")
    taken = published.take_apart(options.image, WORKDIR, folder) if options.image else None
    clone = _source_of(recipe, set_folder, taken)
    if taken is not None:
        (layer / WORKDIR.lstrip("/")).parent.mkdir(parents=True)
        commit = published.seal(clone, recipe.base_commit, taken, pristine, folder, setup_patch=recipe.setup_patch)
        taken.tree.rename(tree)
    else:
        commit = checkout.check_out(clone, recipe.base_commit, tree, pristine, setup_patch=recipe.setup_patch)
    hidden = _hidden_files(recipe, clone, pristine, commit)
    gold = recipe.patch
    if recipe.setup_patch:
        gold = checkout.reverse(pristine, commit, recipe.setup_patch)
    fix = checkout.changes(pristine, commit, gold, "the reference patch")
    listing = checkout.listing(pristine, commit)
    project = project_files.read(tree)

    on_step("environment")
    if taken is None:
        committed = checkout.date_of(clone, checkout.full_commit(clone, recipe.base_commit))
        environment = _environment(recipe, options, project, layer, folder, committed, clone)
        on_step("repository")
        _remove_byproducts(tree, keep_metadata=_develops(options, environment))
        variables, base = {**VARIABLES, **options.environment}, options.base or "host"
        layers = [*environment.layers, store.put_layer(layer)]
    else:
        base, layers = taken.base, [store.put_layer(layer)]
        how = recipe.activate or taken.activate if options.activate is None else options.activate
        activated, installed, python = published.look_inside(store.make_image(layers, {}, WORKDIR, base), how)
        environment = _Environment((), installed, python)
        variables = {**published.VARIABLES, **activated, **options.environment}
        on_step("repository")
    image = store.make_image(layers, variables, WORKDIR, base, silent_network=options.silent_network)
    files = [path for path in hidden.files if not path.endswith(_NO_TESTS)]
    setup = _setup(recipe, options, project, environment.installed, files, listing, tree_of(layers[-1]))
    if setup.runner == "pytest":
        ids = _collect(image, hidden, fix, files, options.timeout)
        setup, failing, passing = _decided(recipe, setup, ids, explicit=options.runner is not None)
    else:
        failing, passing = _as_listed(recipe)
    own = _own_distribution(environment.installed, project.name or recipe.package.partition("/")[2])
    roots = environment.installed.roots
    return Task(
        id=task,
        set=home,
        repo=" ".join(own),
        issue=recipe.issue.strip() + "\n",
        image=image,
        tests=setup,
        hidden=HiddenTests(
            files=hidden.files,
            owned=hidden.paths,
            fail_to_pass=failing,
            pass_to_pass=passing,
            official=OfficialTests(recipe.failing, recipe.passing, recipe.only_failures),
        ),
        gold_patch=gold,
        pristine=pristine,
        base_commit=commit,
        source=options.source or project_files.source_folders(listing, roots, fix.paths),
        digest=_digest(task, recipe, commit, environment, setup, failing, passing),
    )


def _source_of(recipe: RowRecipe, set_folder: Path, taken: Taken | None) -> Path:
    """A repository that has the row's base commit: a clone, or what the row's image came with."""
    if taken is None or taken.history is None:
        try:
            return clone_of(set_folder, recipe.package)
        except TaskError as error:
            if taken is None:
                raise
            raise TaskError(f"its image has no .git at {WORKDIR}, and {error}") from None
    try:
        checkout.full_commit(taken.history, recipe.base_commit)
    except TaskError:
        try:
            return clone_of(set_folder, recipe.package)
        except TaskError as error:
            raise TaskError(f"its image has no commit {recipe.base_commit}, and {error}") from None
    return taken.history


# --- what is installed ------------------------------------------------------------------------------------------------


def _environment(
    recipe: RowRecipe,
    options: BuildOptions,
    project: project_files.Project,
    layer: Path,
    folder: Path,
    committed: str,
    clone: Path,
) -> _Environment:
    """Install the project; its own files of the environment go into the task's layer, the rest becomes a shared one."""
    minor = options.python or interpreters.choose(
        max(datetime.date.fromisoformat(day[:10]) for day in (recipe.created, committed) if day),
        project.requires_python,
        project.classified,
    )
    known = interpreters.available()
    if minor not in known:
        raise TaskError(
            f"Python {minor} is not on this host; there are {', '.join(known)}. Install it, or name another."
        )
    python = known[minor]
    python_layer = interpreters.layer(python)
    lower = [python_layer] if python_layer else []
    day = install.day_for(recipe.created, committed, minor)
    if options.date:
        day = datetime.date.fromisoformat(options.date)
    venv = folder / "environment" / VENV.lstrip("/")
    venv.mkdir(parents=True)
    version = options.version or _scm_version(project, clone, recipe)
    inside = {VENV: venv, WORKDIR: layer / WORKDIR.lstrip("/")}
    with Workshop(options.base or "host", [store.layer_path(digest) for digest in lower], inside) as workshop:
        installed = install.install(workshop, python, day, project, options, version)
        _compile(workshop, minor)
    install.tidy(venv)
    _take_out_project(venv, layer / VENV.lstrip("/"))
    shared = store.put_layer(folder / "environment")
    return _Environment((*lower, shared), installed, python.version)


def _compile(workshop: Workshop, minor: str) -> None:
    """Byte code for all packages, trusted without looking at times: commands inside write none and start at once."""
    trusted = "" if minor == "3.6" else "--invalidation-mode unchecked-hash"
    # Its exit status says whether every file compiles; some packages carry files that are broken on purpose.
    command = f"{install.PYTHON} -I -m compileall -q {trusted} {VENV}/lib >/dev/null; true"
    workshop.run(command, what="compiling packages", cwd="/")


def _scm_version(project: project_files.Project, clone: Path, recipe: RowRecipe) -> str:
    """The version that version control would tell: the next patch release of the last tag, as setuptools-scm says."""
    if not project.scm_version:
        return ""
    described = checkout.describe(clone, checkout.full_commit(clone, recipe.base_commit))
    numbers = re.findall(r"\d+", described[0] if described else recipe.version)[:3] or ["0"]
    if described is None or described[1] == 0:
        return ".".join(numbers)
    return ".".join([*numbers[:-1], str(int(numbers[-1]) + 1)]) + f".dev{described[1]}"


def _take_out_project(venv: Path, target: Path) -> None:
    """Move what belongs to the project itself out of the environment, so that rows with equal packages share it."""
    for direct in venv.glob("lib/python*/site-packages/*.dist-info/direct_url.json"):
        if '"file:///testbed"' not in direct.read_text("utf-8", "replace"):
            continue
        record = direct.with_name("RECORD").read_text("utf-8", "replace").split("\n")
        site = direct.parent.parent
        for line in record:
            file = site / line.rsplit(",", 2)[0] if line.count(",") >= 2 else None
            if file is None or not file.is_file():
                continue
            place = target / file.resolve().relative_to(venv.resolve())
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, place)
        if direct.parent.is_dir() and not any(direct.parent.iterdir()):
            direct.parent.rmdir()


def _develops(options: BuildOptions, environment: _Environment) -> bool:
    return options.install == "develop" or environment.python.startswith("3.6")


def _remove_byproducts(tree: Path, *, keep_metadata: bool) -> None:
    """Remove what building left in the repository and no test needs; what code needs there (a version file) stays."""
    listed = repository.git(
        tree / ".git", "status", "--porcelain", "--ignored", "-z", variables={"GIT_WORK_TREE": str(tree)}, folder=tree
    )
    for entry in listed.decode("utf-8", "surrogateescape").split("\0"):
        kind, path = entry[:2], entry[3:].rstrip("/")
        if kind not in ("??", "!!") or not _BYPRODUCTS.search(path):
            continue
        if keep_metadata and ".egg-info" in path:
            continue
        place = tree / path
        store.remove_tree(place) if place.is_dir() else place.unlink(missing_ok=True)


def tree_of(layer: str) -> Path:
    return paths.layers() / layer / WORKDIR.lstrip("/")


def _own_distribution(installed: Installed, name: str) -> tuple[str, str]:
    for found, version in installed.packages.items():
        if re.sub(r"[-_.]+", "-", found).lower() == re.sub(r"[-_.]+", "-", name).lower():
            return found, version
    return name, "0"


# --- what decides -----------------------------------------------------------------------------------------------------


def _hidden_files(recipe: RowRecipe, clone: Path, pristine: Path, commit: str) -> Changed:
    """The hidden tests as files, and all paths that belong to them."""
    if recipe.test_patch:
        return checkout.changes(pristine, commit, recipe.test_patch, "the test patch")
    if recipe.test_files:
        return Changed({path: text.encode() for path, text in recipe.test_files.items()}, ())
    named = dict.fromkeys(name.partition("::")[0] for name in (*recipe.failing, *recipe.passing) if "::" in name)
    original = checkout.full_commit(clone, recipe.base_commit)
    where = checkout.directory(clone)
    present = set(checkout.listing(where, original))
    if missing := [path for path in named if path not in present]:
        raise TaskError(f"{recipe.base_commit} has no {missing[0]}, in which listed tests are said to be.")
    return Changed(checkout.content(where, original, named), ())


def _setup(
    recipe: RowRecipe,
    options: BuildOptions,
    project: project_files.Project,
    installed: Installed,
    files: list[str],
    listing: tuple[str, ...],
    tree: Path,
) -> TestSetup:
    names = (*recipe.failing, *recipe.passing)
    command = options.command or (recipe.command and project_files.without_tox(recipe.command, tree))
    command = command or project_files.inferred_command(tree, names, project)
    quoted = " ".join(map(shlex.quote, files))
    labels = " ".join(shlex.quote(path.removeprefix("tests/").removesuffix(".py").replace("/", ".")) for path in files)
    command = command.replace("{files}", quoted).replace("{labels}", labels)
    return TestSetup(
        visible=options.visible or project_files.visible_tests(listing, files, project.pytest_options),
        pythonpath=installed.roots,
        plugins=installed.plugins if options.plugins is None else options.plugins,
        ini=project.pytest_options,
        timeout=options.timeout,
        runner=options.runner or ("command" if installed.own_pytest else "pytest"),
        command=command,
        parser=options.parser or recipe.parser,
    )


def _decided(
    recipe: RowRecipe, setup: TestSetup, ids: tuple[str, ...], *, explicit: bool
) -> tuple[TestSetup, tuple[str, ...], tuple[str, ...]]:
    """The ids of the listed tests; where they are not pytest's, the tests stay as listed and a log decides."""
    listed = _as_listed(recipe)
    failing, passing = (listed_names.match(names, ids) for names in listed)
    unknown = len(failing.unknown) + len(passing.unknown)
    total = len(listed[0]) + len(listed[1])
    if failing.unknown or unknown > _MOST_UNKNOWN * total:
        if explicit:
            shown = ", ".join((*failing.unknown, *passing.unknown)[:3])
            raise TaskError(f"{unknown} of {total} listed tests do not exist here, among them {shown}.")
        return replace(setup, runner="command"), *listed
    kept = set(failing.ids)
    return setup, failing.ids, tuple(test for test in passing.ids if test not in kept)


def _as_listed(recipe: RowRecipe) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The listed names; where they are pytest's ids, without the words that a parser took for some."""
    by_pytest = any("::" in name for name in recipe.failing)
    kept = [
        tuple(name for name in names if "::" in name or not by_pytest) for names in (recipe.failing, recipe.passing)
    ]
    return kept[0], kept[1]


def _collect(image: Image, hidden: Changed, fix: Changed, files: list[str], timeout: float) -> tuple[str, ...]:
    """Ids of all tests in the hidden test files, with the reference fix in place; () where pytest finds none."""
    command = ["python", "-m", "pytest", "--collect-only", "-q", "-o", "addopts=", "--rootdir", WORKDIR]
    command += ["-p", "no:cacheprovider", "--continue-on-collection-errors", *files]
    try:
        with open_sandbox(image, "bubblewrap", Limits(output_bytes=16 << 20)) as sandbox:
            for changed in (fix, hidden):
                for path in changed.deleted:
                    sandbox.exec(["rm", "-f", "--", path])
                for path, data in changed.files.items():
                    sandbox.write(path, data)
            done = sandbox.exec(command, timeout=min(timeout, _COLLECT_SECONDS))
    except SandboxError as error:
        raise TaskError(f"its tests cannot be collected: {error}") from error
    lines = done.stdout.decode("utf-8", "replace").split("\n")
    wanted = tuple(files)
    return tuple(line for line in lines if "::" in line and line.startswith(wanted))


def _digest(
    task: str,
    recipe: RowRecipe,
    commit: str,
    environment: _Environment,
    setup: TestSetup,
    failing: tuple[str, ...],
    passing: tuple[str, ...],
) -> str:
    """Over all that decides, and nothing that depends on this machine."""
    facts = hashlib.sha256(recipe.model_dump_json().encode("utf-8", "surrogatepass")).hexdigest()
    held = [environment.python, environment.installed.packages]
    tests = [setup.runner, setup.command, setup.parser, setup.pythonpath, setup.plugins, dict(setup.ini), setup.timeout]
    return store.json_digest([task, facts, commit, held, tests, failing, passing])
