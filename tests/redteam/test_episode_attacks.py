"""A policy that wants its failure to judge nobody, or the harness to break: through what it leaves in the work tree."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import tiny_set

from swegym.env import SWEEnv

# what the policy does before it submits, without solving anything
LEAVES = {
    "names that git takes for instructions": "touch ':(bad)x' ':(exclude)y' ':!z' ':/w'",
    "names that are no text": r"touch $'a\nb' $'\xff\xfe' $'\x1b[2J' -- '-rf' '\"q'",
    "a repository in the repository": "git init -q nested; touch nested/x; rm -rf .git; echo 'gitdir: /etc' > .git",
    "special files": "rm -rf tests; mkfifo tests; ln -s / root; ln -s loop loop",
    "a tree deeper than a path is long": (
        "/opt/python/bin/python3 -c \"import os\nfor i in range(2500): os.mkdir('d'); os.chdir('d')\""
    ),
    "no work tree": "cd /; rm -rf /testbed; ln -s /proc /testbed",
    "no tools": "chmod 000 /; rm -rf /tmp /home",
    "a program of its own as the shell": "rm -rf /bin; mkdir /bin; printf '#!/bin/true' > /bin/bash",
}


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SWEEnv]:
    env = SWEEnv(tiny_set.build(tiny_set.write(tmp_path_factory.mktemp("sets"))))
    yield env
    env.close()


def call(tool: str, **arguments: Any) -> Any:
    function = {"name": tool, "arguments": json.dumps(arguments)}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", "function": function}]}


@pytest.mark.parametrize("command", LEAVES.values(), ids=LEAVES.keys())
def test_what_a_policy_leaves_behind_is_judged(env: SWEEnv, command: str) -> None:
    env.reset(options={"task": "tiny-1"})
    env.step(call("bash", command=f"echo '# edited' >> tiny/numbers.py; {command}"))
    *_, info = env.step(call("submit"))
    assert info["verdict"].resolved is False and info["verdict"].cause == "agent", info["verdict"]
