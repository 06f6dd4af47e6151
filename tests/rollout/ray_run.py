"""A run on a cluster of two nodes in this machine, of which one is killed: `python ray_run.py OUT TASKS`.

What became of the episodes is in the run's folder; what else was seen is in told.json beside it, as raylets write to
stdout when they like.
"""

import functools
import json
import os
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray  # noqa: E402 (workers inherit what is set above)
import toy_env  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from swegym.errors import InputError  # noqa: E402
from swegym.rollout import collect  # noqa: E402


def main(out: Path, tasks: int) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "resources": {"sandbox": 2}})
    other = cluster.add_node(num_cpus=2, resources={"sandbox": 2})
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")  # once for both runs
    finished, killed = [], threading.Event()

    def watch(event):
        if event.kind == "attempt-finished":
            finished.append(event.attempt)
            if len(finished) == 2 and not killed.is_set():
                killed.set()
                # As when its power fails: nothing on it can say good-bye.
                threading.Thread(target=cluster.remove_node, args=(other, False)).start()

    def run(to=out, watch=watch, **fields):
        settings = {"engine": "ray", "jobs": 4, "policy_options": {"seconds": 0.5}} | fields
        settings["engine_options"] = {"address": cluster.address} | settings.get("engine_options", {})
        make_env = functools.partial(toy_env.toy_env, tasks)
        return collect(toy_env.toy_config(to, **settings), on_event=watch, make_env=make_env)

    try:
        run(engine_options={"resource": "sandboxx"})
    except InputError as error:
        refused = str(error)
    run()
    told = {"refused": refused, "killed": killed.is_set(), "still_joined": ray.is_initialized()}

    def interrupt(event):
        if event.kind == "attempt-finished":
            raise KeyboardInterrupt

    try:
        run(out.with_name("interrupted"), interrupt, policy_options={"seconds": 2})
    except KeyboardInterrupt:
        deadline = time.monotonic() + 60
        while ray.available_resources().get("sandbox") != 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        told["free_after_an_interrupt"] = ray.available_resources().get("sandbox")
    out.with_name("told.json").write_text(json.dumps(told))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
