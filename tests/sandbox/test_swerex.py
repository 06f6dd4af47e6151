"""The SWE-ReX backend: the contract on its local deployment and on real servers, and the ways in which it can fail."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_engine import engine  # noqa: F401 - a fixture
from rex_server import RexServers

from swegym.errors import InputError, NotBuilt, SandboxDied, SandboxUnavailable, UnknownName
from swegym.sandbox import Limits, open_sandbox, sandbox_factory
from swegym.sandbox.contract import CHECKS
from swegym.sandbox.swerex_deploy import Deployed, parse_options
from swegym.types import Image

pytest.importorskip("swerex")
IMAGE = Image("test", "host")
LOCAL = "swerex:local?allow_unisolated=true"
CONTRACT = Path(__file__).with_name("swerex_contract.py")

OWNER = f"""
import time
from swegym.sandbox import open_sandbox
from swegym.types import Image
box = open_sandbox(Image("test", "host"), {LOCAL!r})
box.exec("(setsid sleep 7781 &)")
print(box._view.folder, flush=True)
box.exec("sleep 7781", timeout=600)
"""


@pytest.fixture
def servers() -> Iterator[RexServers]:
    with RexServers() as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(1200)  # on a busy machine each of some forty servers takes its time to start
@pytest.mark.parametrize("deployment", ["local", "remote"])
def test_the_contract_holds(deployment: str) -> None:
    # A shell is the first process of the namespace: unlike Python it reaps what is orphaned.
    argv = ["unshare", "-Ur", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", '"$@"; exit $?', "sh"]
    done = subprocess.run([*argv, sys.executable, str(CONTRACT), deployment], capture_output=True, text=True)
    results = {name: (outcome, detail) for name, outcome, detail, _ in map(json.loads, done.stdout.splitlines())}
    failed = {name: detail for name, (outcome, detail) in results.items() if outcome != "passed"}
    assert not failed, failed
    claimed = {item.name for item in CHECKS if item.capability in ("files", "exec", "shell")}
    assert set(results) == claimed, done.stderr[-2000:]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "backend", ["swerex:local", "swerex:local?allow_unisolated=false", "swerex:local?allow_unisolated=1"]
)
def test_the_local_deployment_must_be_asked_for_by_what_it_is(backend: str) -> None:
    with pytest.raises(SandboxUnavailable, match="isolates nothing"):
        open_sandbox(IMAGE, backend)


def test_an_unknown_deployment_is_told_with_near_matches() -> None:
    with pytest.raises(UnknownName, match="Did you mean docker"):
        open_sandbox(IMAGE, "swerex:doker")


def test_an_unknown_option_names_the_field() -> None:
    with pytest.raises(InputError, match=r"swerex:docker: imgae = 'python:3\.11'"):
        open_sandbox(IMAGE, "swerex:docker?imgae=python:3.11")


def test_a_backend_without_options_says_so() -> None:
    with pytest.raises(InputError, match="fake takes no options"):
        sandbox_factory("fake:quick")


def test_options_are_json_or_else_text() -> None:
    kind, options = parse_options('docker?image=python:3.11&startup_timeout=5&docker_args=["--gpus=all"]')
    assert kind == "docker"
    assert options == {"image": "python:3.11", "startup_timeout": "5", "docker_args": ["--gpus=all"]}


def test_a_deployment_whose_package_is_missing_says_what_to_install() -> None:
    with pytest.raises(SandboxUnavailable, match=r"swe-rex\[daytona\]"):
        open_sandbox(IMAGE, "swerex:daytona?image=x")


def test_limits_are_handed_to_docker_before_the_users_own_arguments(engine: str) -> None:  # noqa: F811
    machine = Deployed("docker", {"docker_args": ["--memory=1g"]}, Limits(memory_bytes=64 << 20, processes=77))
    arguments = machine._deployment._config.docker_args
    assert "--pids-limit=77" in arguments and "--init" in arguments
    assert arguments.index(f"--memory={64 << 20}") < arguments.index("--memory=1g")


def test_a_folder_of_this_machine_cannot_be_an_images() -> None:
    with pytest.raises(InputError, match="cannot show /usr"):
        open_sandbox(Image("test", "host", workdir="/usr/src/testbed"), LOCAL)


def test_a_missing_layer_says_to_build() -> None:
    with pytest.raises(NotBuilt, match="swegym tasks build"):
        open_sandbox(Image("test", "host", layers=("0" * 64,)), LOCAL)


def test_a_snapshot_of_another_backend_is_refused() -> None:
    with open_sandbox(IMAGE) as box:
        frozen = box.snapshot()
        with pytest.raises(SandboxUnavailable, match="another sandbox backend"):
            open_sandbox(frozen, LOCAL)


# --- what fails -------------------------------------------------------------------------------------------------------


def test_a_server_that_hangs_is_given_up_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        started = time.monotonic()
        with pytest.raises(SandboxUnavailable, match="does not answer"):
            open_sandbox(IMAGE, f"swerex:remote?port={deaf.getsockname()[1]}&auth_token=x")
        assert time.monotonic() - started < 30


def test_a_wrong_token_is_a_clear_error(servers: RexServers) -> None:
    backend = servers.start()
    with pytest.raises(SandboxUnavailable, match="does not answer"):
        open_sandbox(IMAGE, backend + "wrong")


def test_a_killed_server_is_a_dead_sandbox(servers: RexServers) -> None:
    with open_sandbox(IMAGE, servers.start()) as box:
        servers.kill()
        with pytest.raises(SandboxDied):
            box.exec("true")
        with pytest.raises(SandboxDied):
            box.read("x")


def test_a_machine_serves_one_sandbox(servers: RexServers) -> None:
    backend = servers.start()
    with open_sandbox(IMAGE, backend) as box:
        box.write("mine.txt", b"x")
        with pytest.raises(SandboxUnavailable, match="serves one sandbox"):
            open_sandbox(IMAGE, backend)
        assert box.read("mine.txt") == b"x"
    with pytest.raises(SandboxUnavailable, match="serves one sandbox"):
        open_sandbox(IMAGE, backend)


def test_a_policy_that_kills_everything_is_no_result_of_its_command(servers: RexServers) -> None:
    with open_sandbox(IMAGE, servers.start()) as box, contextlib.suppress(SandboxDied):
        assert box.exec("kill -9 -1; sleep 5", timeout=10).limit == "machine"


def test_output_is_cut_where_the_command_runs(servers: RexServers) -> None:
    with open_sandbox(IMAGE, servers.start(), Limits(output_bytes=2000)) as box:
        result = box.exec("echo first; yes | head -c 20000000; echo last", timeout=60)
        assert result.stdout.startswith(b"first\n") and result.stdout.endswith(b"last\n")
        assert result.truncated == 20_000_011 - 2000


# --- what is kept and what is left ------------------------------------------------------------------------------------


def test_a_snapshot_holds_what_changed_outside_the_workdir() -> None:
    with open_sandbox(IMAGE, LOCAL) as box:
        box.exec("mkdir -p /opt/tool; echo 1 > /opt/tool/version; echo 2 > gone; ln -s /opt/tool link")
        frozen = box.snapshot()
        box.exec("rm -rf /opt/tool gone")
    with open_sandbox(frozen, LOCAL) as branch:
        branch.exec("rm gone")
        assert branch.exec("cat link/version").stdout == b"1\n"
        again = branch.snapshot()
    with open_sandbox(again, LOCAL) as second:
        assert second.exec("ls; cat link/version").stdout == b"link\n1\n"


def test_nothing_of_this_process_is_in_a_commands_environment() -> None:
    os.environ["SWEGYM_TEST_SECRET"] = "told to nobody"
    try:
        with open_sandbox(IMAGE, LOCAL) as box:
            assert b"SWEGYM_TEST_SECRET" not in box.exec("env").stdout
    finally:
        del os.environ["SWEGYM_TEST_SECRET"]


def test_a_killed_owner_leaves_no_process_and_no_folder() -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        time.sleep(0.5)
        assert folder.is_dir()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    deadline = time.monotonic() + 20
    while (folder.exists() or _running("sleep 7781")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not folder.exists() and not _running("sleep 7781")


def _running(command: str) -> bool:
    pattern = command[:-1] + f"[{command[-1]}]"
    return subprocess.run(["pgrep", "-f", pattern], capture_output=True).returncode == 0


# --- Docker -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def docker_image(tmp_path_factory: pytest.TempPathFactory, engine: str) -> Iterator[str]:  # noqa: F811
    """An image without anything in it but links into this machine's /usr, which the test mounts."""
    if shutil.which("docker") is None:
        pytest.skip("an engine answers, but the docker command, with which SWE-ReX starts containers, is not here")
    if subprocess.run(["docker", "network", "inspect", "bridge"], capture_output=True).returncode != 0:
        pytest.skip("the Docker engine here has no bridge network, so no port of a container can be reached")
    root = tmp_path_factory.mktemp("image")
    for name in ("bin", "lib", "lib64"):
        if Path("/", name).is_symlink():
            (root / name).symlink_to(Path("/", name).readlink())
    for name in ("etc", "tmp", "usr", "root", "sbin"):  # the engine puts its init at /sbin, not into the mounted /usr
        (root / name).mkdir()
    name = f"swegym-test-swerex-{os.getpid()}"
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as packing:
        subprocess.run(["docker", "import", "-", name], stdin=packing.stdout, check=True, capture_output=True)
    yield name
    subprocess.run(["docker", "rmi", "-f", name], capture_output=True, check=True)


def in_docker(image: str) -> str:
    folders = {"/usr", sys.prefix, str(Path(sys.base_prefix).resolve())}
    arguments = [f"--volume={folder}:{folder}:ro" for folder in folders]
    arguments.append(f"--env=PATH={Path(sys.executable).parent}:/usr/bin:/bin")
    return f"swerex:docker?image={image}&pull=never&startup_timeout=60&docker_args={json.dumps(arguments)}"


def listed(*filters: str) -> str:
    command = ["docker", "ps", "-aq", *(f"--filter={chosen}" for chosen in filters)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def left_in_the_end(chosen: str) -> str:
    """What is still there when the engine has had its time: it removes a container after it has said that it ended."""
    deadline = time.monotonic() + 60
    while listed(chosen) and time.monotonic() < deadline:
        time.sleep(0.2)
    return listed(chosen)


def test_the_docker_deployment_runs(docker_image: str) -> None:
    with open_sandbox(IMAGE, in_docker(docker_image)) as box:
        box.write("a.txt", b"1")
        assert box.exec("cat a.txt; pwd").stdout == b"1/testbed\n"
        name = box._machine._deployment.container_name  # type: ignore[attr-defined]
        assert box.exec("sleep 60", timeout=0.5).timed_out
    assert left_in_the_end(f"name={name}") == ""


@pytest.mark.slow
def test_a_killed_owner_leaves_no_container_of_a_docker_deployment(docker_image: str, tmp_path: Path) -> None:
    opening = f"open_sandbox(Image('test', 'host'), {in_docker(docker_image)!r})"
    imports = "from swegym.sandbox import open_sandbox; from swegym.types import Image"
    script = f"{imports}; box = {opening}; print('open', flush=True); box.exec('sleep 600', timeout=600)"
    environment = {**os.environ, "SWEGYM_HOME": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"open\n"
        assert listed(f"label=swegym.home={tmp_path}") != ""
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    assert left_in_the_end(f"label=swegym.home={tmp_path}") == ""
