"""An engine: one local model that many episodes sample from at once, token ids in, token ids and log-probs out.

There is one engine for each model folder in a process (`shared_engine`). Any thread may call `sample`; one thread of
the engine runs the model over whoever is waiting. Log-probs are of the distribution that was sampled from: softmax of
the logits over the temperature, nothing cut off. Weights can be replaced in place: what has been asked for is finished
under the old ones, what comes later has the new version.
"""

from __future__ import annotations

import atexit
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from swegym.errors import InputError, ProviderError, UnknownName
from swegym.policies.hf_load import (
    check_folder,
    copy_weights,
    end_tokens,
    load_model,
    load_tokenizer,
    put_weights,
    tokenizer_mark,
)

BATCHING = ("rows", "continuous")


@dataclass(frozen=True, slots=True)
class Request:
    """What to sample: up to `max_new_tokens` after `ids`, fewer when one of the model's end tokens comes."""

    ids: tuple[int, ...]
    seed: int
    temperature: float = 1.0  # 0.0 takes the likeliest token; log-probs are then those at 1.0
    max_new_tokens: int = 1024


@dataclass(frozen=True, slots=True)
class Sampled:
    ids: tuple[int, ...]  # the end token included, if one came
    logprobs: tuple[float, ...]
    finish: Literal["stop", "length"]
    version: str  # of the weights


@dataclass(slots=True, eq=False)
class Job:
    """A request under way; `result` gets ids and log-probs, or what went wrong."""

    request: Request
    result: Future[tuple[list[int], list[float]]] = field(default_factory=Future)
    version: str = ""


class Batcher(Protocol):
    """Runs the model over several jobs at once. All methods are called from the engine's own thread."""

    jobs: list[Job]  # under way

    def add(self, job: Job) -> None:
        """Take a job on, which is in `jobs` from then until its result is there. Raising touches no other job."""
        ...

    def step(self) -> None:
        """Go on with all jobs, for about as long as one token takes."""
        ...

    def forget(self) -> None:
        """Drop all jobs and what is kept of earlier ones: the weights change, the engine closes, or a step failed."""
        ...


@dataclass(frozen=True, slots=True)
class _Replace:
    put: Callable[[], None]  # what changes the weights
    version: str
    done: Future[None] = field(default_factory=Future)


_CLOSE = object()
_EMPTY = object()


class Engine:
    """A model with its tokenizer, and the thread that runs it.

    Args:
        model: The folder of a causal language model as transformers saves it, or such a model itself.
        tokenizer: Its tokenizer; read from the folder if left out.
        device: "auto" (CUDA where there is some), "cpu", "cuda", "cuda:1".
        dtype: "auto" (as saved), "float32", "bfloat16", "float16".
        batching: "rows", our own loop, where a seed decides whatever else runs; or "continuous", the paged one of
            transformers, for GPUs, where the order of arrival decides, too.
        rows: Requests worked on at once, at most.
        kept_tokens: Keys and values of so many tokens of finished turns are kept, for the next turns to go on from.
        version: Names the weights; the folder's name if left out.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        batching: str = "rows",
        rows: int = 32,
        kept_tokens: int = 65536,
        version: str | None = None,
    ) -> None:
        folder = Path(model) if isinstance(model, str | Path) else None
        if folder is not None:
            check_folder(folder)
        if tokenizer is None and folder is None:
            raise InputError("Engine(model): a model without its tokenizer. Hand in both, or a folder.")
        self.origin = str(folder) if folder else type(model).__name__
        self.tokenizer = tokenizer if tokenizer is not None else load_tokenizer(model)
        self.model = load_model(folder, device, dtype) if folder else model
        self.model.eval()
        self.version = version if version is not None else (folder.resolve().name if folder else "0")
        self.context: int = getattr(self.model.config, "max_position_embeddings", None) or 2**20
        self.ends = end_tokens(self.model, self.tokenizer)
        self.mark = tokenizer_mark(self.tokenizer)
        self.words = threading.Lock()  # held around uses of the tokenizer, which is not safe for threads
        self.counts = {"requests": 0, "prompt_tokens": 0, "reused_tokens": 0, "new_tokens": 0, "most_at_once": 0}
        self._rows = rows
        self._batcher = _batcher(batching, self, kept_tokens)
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._changing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="hf-engine", daemon=True)
        self._thread.start()

    def sample(self, request: Request) -> Sampled:
        """Sample after a prompt; returns when it is done. Raises `ProviderError` when the model fails."""
        if not request.ids or request.max_new_tokens < 1:
            raise InputError(f"{self.origin}: an empty prompt, or no new token asked for. Give at least one of each.")
        if len(request.ids) + request.max_new_tokens > self.context:
            raise InputError(
                f"{self.origin}: {len(request.ids)} prompt tokens and {request.max_new_tokens} new ones are more than "
                f"its context of {self.context}. Ask for fewer."
            )
        job = Job(request)
        self._send(job)
        try:
            ids, logprobs = job.result.result()
        except (InputError, ProviderError):
            raise
        except Exception as error:  # the boundary of the model: what fails in it failed as a server would
            raise ProviderError(
                f"model {self.origin}: {type(error).__name__}: {str(error)[:500]}. "
                "See that its folder is whole; if memory ran out, lower rows, kept_tokens or the context."
            ) from error
        return Sampled(tuple(ids), tuple(logprobs), "stop" if ids[-1] in self.ends else "length", job.version)

    def reload(self, folder: str | Path, version: str | None = None) -> None:
        """Replace the weights in place by those of another folder, same architecture and tokenizer; returns when done.

        Requests that came before are finished first. `version` is the folder's name if left out.
        """
        folder = Path(folder)
        check_folder(folder)
        self._replaced(
            lambda: put_weights(self.model, folder, self.mark),
            version if version is not None else folder.resolve().name,
        )

    def take(self, weights: Mapping[str, Any], version: str) -> None:
        """Replace the weights in place by tensors under the names of the model's state; returns when done.

        For a model in training: nothing goes through a disk. Requests that came before are finished first.
        """
        self._replaced(lambda: copy_weights(self.model, weights, self.origin), version)

    def _replaced(self, put: Callable[[], None], version: str) -> None:
        order = _Replace(put, version)
        self._send(order)
        order.done.result()

    def close(self) -> None:
        """Finish what has been asked for and end the engine's thread. Closing twice is fine."""
        with self._changing:
            if not self._closed:
                self._closed = True
                self._inbox.put(_CLOSE)
        self._thread.join()

    def _send(self, order: Job | _Replace) -> None:
        with self._changing:
            if self._closed:
                raise ProviderError(f"model {self.origin}: its engine has been closed. Make a new one.")
            self._inbox.put(order)

    # --- the engine's own thread --------------------------------------------------------------------------------------

    def _work(self) -> None:
        import torch

        waiting: list[Job] = []
        with torch.no_grad():
            while True:
                order = self._next(block=not (waiting or self._batcher.jobs))
                if isinstance(order, Job):
                    waiting.append(order)
                elif order is _EMPTY:
                    self._go_on(waiting)
                else:
                    while waiting or self._batcher.jobs:
                        self._go_on(waiting)
                    self._batcher.forget()
                    if order is _CLOSE:
                        return
                    self._replace(order)

    def _next(self, block: bool) -> Any:
        try:
            return self._inbox.get(block=block)
        except queue.Empty:
            return _EMPTY

    def _go_on(self, waiting: list[Job]) -> None:
        while waiting and len(self._batcher.jobs) < self._rows:
            job = waiting.pop(0)
            job.version = self.version
            self.counts["requests"] += 1
            self.counts["prompt_tokens"] += len(job.request.ids)
            try:
                self._batcher.add(job)
            except Exception as error:  # it concerns this job only
                job.result.set_exception(error)
        self.counts["most_at_once"] = max(self.counts["most_at_once"], len(self._batcher.jobs))
        try:
            self._batcher.step()
        except Exception as error:  # every job under way is told; later ones may well succeed
            failed = self._batcher.jobs
            self._batcher.forget()
            for job in failed:
                job.result.set_exception(error)

    def _replace(self, order: _Replace) -> None:
        try:
            order.put()
            self.version = order.version
            order.done.set_result(None)
        except Exception as error:
            order.done.set_exception(error)


def _batcher(name: str, engine: Engine, kept_tokens: int) -> Batcher:
    if name == "rows":
        from swegym.policies.hf_rows import Rows

        return Rows(engine.model, engine.ends, engine.counts, kept_tokens)
    if name == "continuous":
        from swegym.policies.hf_continuous import Continuous

        return Continuous(engine.model, engine.ends, engine.counts)
    raise UnknownName.among("batching", name, BATCHING)


# --- one engine for each model and process ----------------------------------------------------------------------------

_shared: dict[tuple[Any, ...], Engine] = {}
_sharing = threading.Lock()


def shared_engine(folder: str | Path, **options: Any) -> Engine:
    """The engine of a model folder in this process, made with the options of `Engine` when it is first asked for.

    Another device, dtype or batching is another engine; of the other options the first caller's hold.
    """
    place = str(Path(folder).resolve())
    key = (place, *(options.get(name) for name in ("device", "dtype", "batching")))
    with _sharing:
        engine = _shared.get((place,)) or _shared.get(key)
        if engine is None:
            engine = _shared[key] = Engine(folder, **options)
        return engine


def share(folder: str | Path, engine: Engine) -> None:
    """Let every policy of this process that names `folder` sample from `engine`, e.g. from a model in training."""
    with _sharing:
        _shared[(str(Path(folder).resolve()),)] = engine


def unshare(engine: Engine) -> None:
    """Undo `share`: policies that come later make an engine of the folder's own weights."""
    with _sharing:
        for key in [key for key, shared in _shared.items() if shared is engine]:
            del _shared[key]


def close_engines() -> None:
    """Close every shared engine of this process."""
    with _sharing:
        engines = list(_shared.values())
        _shared.clear()
    for engine in engines:
        engine.close()


atexit.register(close_engines)
