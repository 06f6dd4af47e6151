"""The Ray engine: episodes as tasks of a Ray cluster; the run, its folder and its teacher stay where it was started.

Each episode asks for one unit of a resource (default "sandbox") that nodes offer when they join:

    ray start --head --resources '{"sandbox": 8}'
    ray start --address HEAD:6379 --resources '{"sandbox": 16}'

Ray places an episode where a unit is free and lets the others wait, and the run hands over at most `jobs` at a time, so
nothing piles up. A node that is lost takes its episodes along: each is recorded as not judged, cause "sandbox", and
tried again elsewhere as the table of causes says. Every node needs the package, the policy, and the tasks in its store.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from pydantic import Field

from swegym.config import Config, validate
from swegym.errors import InputError, RunError, SandboxDied, SwegymError
from swegym.rollout.engines import MakeEnv, Order, Stopped, carry_out, recorded
from swegym.rollout.record import Record
from swegym.rollout.run_config import RunConfig
from swegym.types import Task, Trajectory

_POLL = 0.5  # seconds between looks at whether the run is being stopped


class RayOptions(Config):
    """`engine_options` of the Ray engine."""

    address: str | None = None
    """Of a running cluster, or "auto"; None joins the one that RAY_ADDRESS names or starts one in this machine."""
    resource: str = "sandbox"
    """What an episode asks one unit of."""
    cpus: float = Field(1.0, ge=0)
    """Cores that an episode asks for."""
    patience: float = Field(300.0, gt=0)
    """Seconds without any node that offers the resource after which the run gives up."""


class RayEngine:
    """Carries out each episode in a worker process of some node."""

    def __init__(self, config: RunConfig, make_env: MakeEnv, stop: threading.Event) -> None:
        self._options = validate(RayOptions, config.engine_options, "engine_options")
        self._config = config
        self._make_env = make_env
        self._stop = stop
        self._missing_since: float | None = None
        ray = _ray()
        self._started_here = not ray.is_initialized()
        if self._started_here:
            _join(ray, self._options, config.jobs)
        if self._units() == 0:
            self.close()
            raise InputError.at(
                "engine_options",
                "resource",
                self._options.resource,
                "no node of the cluster offers it",
                f"""Start nodes with `ray start --resources '{{"{self._options.resource}": N}}'`.""",
            )
        remote = ray.remote(_episode).options(
            num_cpus=self._options.cpus, resources={self._options.resource: 1}, max_retries=0
        )
        self._submit = remote.remote
        self._shipped = ray.put((config, make_env))

    @staticmethod
    def threads(config: RunConfig) -> int:
        """`jobs`: nearly all of these threads only wait."""
        return config.jobs

    def episode(self, order: Order, task: Task) -> Trajectory:
        ray = _ray()
        reference = self._submit(self._shipped, order, task.digest)
        while not ray.wait([reference], timeout=_POLL)[0]:
            if self._stop.is_set():
                ray.cancel(reference, force=True)
                raise Stopped
            self._refuse_to_wait_for_nobody()
        try:
            outcome = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise RunError(f"a worker could not begin an episode of {order.task}: {error}") from error
        except ray.exceptions.RayError as error:
            first = str(error).strip().partition("\n")[0]
            outcome = SandboxDied(
                f"the worker or the node that ran this episode is gone ({type(error).__name__}: {first})"
            )
        if isinstance(outcome, Trajectory):
            return outcome
        if outcome.cause == "us":
            raise outcome
        options = {"attempt": order.attempt, "parent": order.parent, "guidance": order.guidance}
        return recorded(self._make_env(), self._config).never_began(outcome, task, order.seed, options)

    def _units(self) -> float:
        return float(_ray().cluster_resources().get(self._options.resource, 0))

    def _refuse_to_wait_for_nobody(self) -> None:
        if self._units() > 0:
            self._missing_since = None
            return
        now = time.monotonic()
        since = self._missing_since = self._missing_since or now
        if now - since > self._options.patience:
            raise RunError(
                f"no node of the cluster has offered {self._options.resource!r} for {self._options.patience:g} s. "
                "Start nodes again and run the same command; what is finished is kept."
            )

    def close(self) -> None:
        """Leave the cluster if it was joined here; Ray then ends what still runs for this run."""
        ray = _ray()
        if self._started_here and ray.is_initialized():
            ray.shutdown()


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise InputError(f"engine = 'ray': ray is not installed ({error}). Run `pip install 'swegym[ray]'`.") from error
    return ray


def _join(ray: Any, options: RayOptions, jobs: int) -> None:
    import os

    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if options.address is None and "RAY_ADDRESS" not in os.environ:
        ray.init(resources={options.resource: jobs}, include_dashboard=False, **quiet)
        return
    try:
        ray.init(address=options.address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError.at(
            "engine_options",
            "address",
            options.address,
            f"no Ray cluster there: {error}",
            "Start one with `ray start`.",
        ) from error


_recorders: dict[str, Record] = {}  # of this worker process, so that what an env costs to make is paid once


def _episode(shipped: tuple[RunConfig, MakeEnv], order: Order, digest: str) -> Trajectory | SwegymError:
    """On a node: the episode's record, or the error that kept it from beginning."""
    config, make_env = shipped
    try:
        key = config.model_dump_json()
        if key not in _recorders:
            _recorders[key] = recorded(make_env(), config)
        env = _recorders[key]
        task: Task = env.get_wrapper_attr("tasks").load(order.task)
        if task.digest != digest:
            raise RunError(f"{order.task}: this node's store holds another version of the task. Build it there again.")
        return carry_out(env, config, order, task, lambda: None)
    except SwegymError as error:
        return error
