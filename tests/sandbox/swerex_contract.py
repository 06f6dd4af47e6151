"""The contract against SWE-ReX deployments, printed as JSON lines; run by test_swerex.py in a PID namespace of its own.

The contract looks for processes by their command lines, and SWE-ReX's local deployment shows those of the whole
machine, so that tests which run at the same time would be found. SWE-ReX itself also warns when it is imported.
"""

import json
import sys

from rex_server import RexServers

from swegym.sandbox import Limits, sandbox_factory
from swegym.sandbox.contract import CheckResult, run_contract
from swegym.types import Image, Sandbox, Snapshot

LIMITS = Limits(memory_bytes=512 << 20, processes=128, disk_bytes=300 << 20)


def show(result: CheckResult) -> None:
    if result.outcome != "skipped":
        print(json.dumps([result.name, result.outcome, result.detail, round(result.seconds, 2)]), flush=True)


def main(deployment: str) -> None:
    image = Image("contract", "host")
    if deployment == "local":
        factory = sandbox_factory("swerex:local?allow_unisolated=true", LIMITS)
        run_contract(factory, image, {"files", "exec", "shell"}, show)
        return
    with RexServers() as servers:

        def on_a_new_server(source: Image | Snapshot) -> Sandbox:
            return sandbox_factory(servers.start(), LIMITS)(source)

        run_contract(on_a_new_server, image, {"files", "exec", "shell"}, show)


if __name__ == "__main__":
    main(sys.argv[1])
