"""The rollout side of online training: who samples, how it gets the weights, and one run of attempts.

local    an engine of this process samples (policy hf); weights are copied into it, nothing goes through a disk
served   a server does (policy litellm); weights are saved to a folder and the server is told to load it, by POST to
         `reload_url` of `reload_body`, in which {folder} stands for it; by default as SGLang's
         /update_weights_from_disk and scripts/serve_model.py take it

Attempts are those of any run: real machines, retries by cause, a folder that resumes. With several processes the first
one samples and the others wait; everybody reads the same folder.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from swegym.config import validate
from swegym.errors import InputError, ProviderError
from swegym.rollout.folder import RunFolder
from swegym.rollout.run_config import RunConfig
from swegym.train import parallel
from swegym.train.critic import Critic
from swegym.train.model import Loaded
from swegym.train.online_config import OnlineConfig
from swegym.train.parallel import World

Collect = Callable[[RunConfig], RunFolder]
ENGINE_OPTIONS = ("device", "dtype", "batching", "rows", "kept_tokens")
RELOAD_SECONDS = 600.0


class Sampler:
    """Samples from the model in training. Close it at the end.

    Args:
        config: Of the training run.
        loaded: The model that is trained.
        world: The processes that train; the first one samples.
        collect: Carries out one run, building what is missing.
    """

    def __init__(self, config: OnlineConfig, loaded: Loaded, world: World, collect: Collect) -> None:
        self.config = config
        self.version = ""
        self._loaded, self._world, self._collect = loaded, world, collect
        self._engine: Any = None
        if world.first and config.policy == "hf":
            from swegym.policies.hf_engine import Engine, share

            options = {name: config.policy_options[name] for name in ENGINE_OPTIONS if name in config.policy_options}
            self._engine = Engine(config.model, **options)
            share(config.model, self._engine)
        elif config.policy != "hf" and config.reload_url is None:
            raise InputError.at(
                "online training",
                "reload_url",
                None,
                f"policy {config.policy} samples elsewhere, and would never see the trained weights",
                "Give the address that makes its server load a folder, or policy = 'hf'.",
            )

    def put(self, version: str) -> None:
        """Let the sampler have the model's present weights. Every process must call it."""
        weights = whole_weights(self._loaded)
        self.version = version
        if not self._world.first:
            return
        if self._engine is not None:
            self._engine.take(weights, version)
        else:
            folder = Path(self.config.out) / "served" / version
            _save(self._loaded, weights, folder)
            _tell(str(self.config.reload_url), self.config.reload_body, folder)
            for old in folder.parent.iterdir():
                if old != folder:
                    shutil.rmtree(old)

    def attempts(self, chosen: Sequence[str], folder: Path, **settings: Any) -> RunFolder:
        """A run of the present policy at some tasks; carried out by the first process, read by all."""
        config = self.config
        options = dict(config.policy_options)
        if self._engine is not None or config.policy == "hf":
            options["model"] = config.model
        else:
            options["token_ids"] = True
        asked = {
            "tasks": config.tasks,
            "jobs": config.jobs,
            **config.run,
            "patterns": list(chosen),
            "policy": config.policy,
            "policy_version": self.version,
            "out": str(folder),
            **settings,
            "policy_options": options | settings.get("policy_options", {}),
        }
        run = validate(RunConfig, asked, "online training: run")
        if self._world.first:
            self._collect(run)
        parallel.wait_long(self._world)
        return RunFolder(folder)

    def critic(self, longest: int) -> Critic:
        """Asks whoever samples about failed attempts; for the first process."""
        return Critic(self.config, self._engine, longest)

    def close(self) -> None:
        if self._engine is not None:
            from swegym.policies.hf_engine import unshare

            unshare(self._engine)
            self._engine.close()


def whole_weights(loaded: Loaded) -> Mapping[str, Tensor]:
    """All weights under the names of the plain model, gathered if they are sharded, adapters merged in."""
    module: Any = loaded.module
    if loaded.lora:
        module.merge_adapter()
        try:
            return {
                name.removeprefix("base_model.model.").replace(".base_layer.", "."): parallel.whole(weight)
                for name, weight in module.state_dict().items()
                if "lora_" not in name
            }
        finally:
            module.unmerge_adapter()
    state = module.state_dict()
    return {name: parallel.whole(weight) for name, weight in state.items()} if parallel.is_sharded(state) else state


def _save(loaded: Loaded, weights: Mapping[str, Tensor], folder: Path) -> None:
    """A plain model folder of these weights, whole or not there."""
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    loaded.base.save_pretrained(new, state_dict=dict(weights))
    settings = json.loads((new / "config.json").read_text("utf-8"))
    settings["use_cache"] = True
    (new / "config.json").write_text(json.dumps(settings, indent=2), "utf-8")
    loaded.tokenizer.save_pretrained(new)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def _tell(url: str, body: Mapping[str, Any], folder: Path) -> None:
    """Make a server load a folder. Raises ProviderError unless it says that it did."""
    text = json.dumps(body).replace("{folder}", json.dumps(str(folder.resolve()))[1:-1])
    request = urllib.request.Request(url, text.encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=RELOAD_SECONDS) as response:
            said = response.read(4096)
    except (OSError, ValueError) as error:
        shown = error.read(300).decode("utf-8", "replace") if isinstance(error, urllib.error.HTTPError) else ""
        raise ProviderError(
            f"reload_url {url}: the server did not load {folder}: {error} {shown}".rstrip()
            + ". See that it runs and can read that folder; the same command goes on."
        ) from error
    try:
        answer = json.loads(said)
    except ValueError:
        return  # it answered with success and in words of its own
    if isinstance(answer, dict) and answer.get("success") is False:
        raise ProviderError(f"reload_url {url}: the server did not load {folder}: {answer.get('message')}.")
