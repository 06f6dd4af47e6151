"""An environment for Harbor whose machine is one of swegym's, so that an exported task can be tried without Docker.

`harbor run --env environment:SwegymEnvironment` with this folder on PYTHONPATH. Only Dockerfile and name of a task are
looked at: the machine is that of the task of this name in `pypi`.
"""

import asyncio
import base64
import io
import json
import os
import shlex
import tarfile
from pathlib import Path

from harbor.environments.base import BaseEnvironment, ExecResult
from harbor.environments.capabilities import EnvironmentCapabilities, EnvironmentResourceCapabilities

LONGEST = 1 << 28  # bytes of one answer
FOLDERS = "/logs/agent /logs/verifier /logs/artifacts /tests /solution"


class SwegymEnvironment(BaseEnvironment):
    @staticmethod
    def type() -> str:
        return "swegym"

    @property
    def capabilities(self) -> EnvironmentCapabilities:
        return EnvironmentCapabilities(disable_internet=True)

    @classmethod
    def resource_capabilities(cls) -> EnvironmentResourceCapabilities:
        return EnvironmentResourceCapabilities(cpu_limit=True, cpu_request=True, memory_limit=True, memory_request=True)

    def _validate_definition(self) -> None:
        if not (Path(self.environment_dir) / "Dockerfile").is_file():
            raise FileNotFoundError(f"{self.environment_dir}/Dockerfile")

    async def start(self, force_build: bool) -> None:
        command = [os.environ["SWEGYM_PYTHON"], str(Path(__file__).with_name("machine.py"))]
        name = Path(self.environment_dir).parent.name
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        self._machine = await asyncio.create_subprocess_exec(*command, name, **pipes, limit=LONGEST)
        self._asking = asyncio.Lock()
        if await self._machine.stdout.readline() != b"ready\n":
            raise RuntimeError(f"no machine for {name}")
        await self._ask(f"mkdir -p {FOLDERS}")

    async def stop(self, delete: bool) -> None:
        self._machine.stdin.close()
        await self._machine.wait()

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        place = shlex.quote(str(target_path))
        await self._ask(f'mkdir -p "$(dirname {place})" && cat > {place}', Path(source_path).read_bytes())

    async def upload_dir(self, source_dir: Path | str, target_dir: str) -> None:
        archive, place = io.BytesIO(), shlex.quote(str(target_dir))
        with tarfile.open(fileobj=archive, mode="w") as members:
            members.add(source_dir, arcname=".")
        await self._ask(f"mkdir -p {place} && tar -xf - -C {place}", archive.getvalue())

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        _, stdout, _ = await self._ask(f"base64 -w0 {shlex.quote(source_path)}")
        Path(target_path).write_bytes(base64.b64decode(stdout))

    async def download_dir(self, source_dir: str, target_dir: Path | str) -> None:
        _, stdout, _ = await self._ask(f"tar -cf - -C {shlex.quote(source_dir)} . | base64 -w0")
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(stdout))) as members:
            members.extractall(target_dir, filter="data")

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        code, stdout, stderr = await self._ask(command, cwd=cwd, env=env, timeout=timeout_sec)
        texts = [stream.decode("utf-8", "replace") for stream in (stdout, stderr)]
        return ExecResult(stdout=texts[0], stderr=texts[1], return_code=code)

    async def _ask(self, command: str, stdin: bytes = b"", **options: object) -> tuple[int, bytes, bytes]:
        wanted = {"command": command, "stdin": base64.b64encode(stdin).decode(), **options}
        async with self._asking:
            self._machine.stdin.write(json.dumps(wanted).encode() + b"\n")
            await self._machine.stdin.drain()
            answer = json.loads(await self._machine.stdout.readline())
        stdout, stderr = (base64.b64decode(stream) for stream in answer["streams"])
        return answer["code"], stdout, stderr
