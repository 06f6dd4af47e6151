"""`ReadyVectorEnv`: several envs side by side without a barrier. Send actions to some, receive from whichever is ready.

Gymnasium's vector envs step all at once and wait for the slowest. Episodes here differ by minutes, so whoever drives
them does better with what is ready first:

    envs = ReadyVectorEnv([make] * 8)
    envs.reset(seeds=range(8))
    while envs.busy:
        for ready in envs.recv():
            if not ready.over:
                envs.send([policy(ready)], [ready.id])
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar

import gymnasium

from swegym.errors import InputError

Observation = TypeVar("Observation")
Action = TypeVar("Action")


@dataclass(frozen=True, slots=True)
class Ready(Generic[Observation]):
    """What an env answered to a reset or an action: Gymnasium's values, and which env it was."""

    id: int
    observation: Observation
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.terminated or self.truncated


class ReadyVectorEnv(Generic[Observation, Action]):
    """Envs by number, each in a thread of its own while it works. A context manager.

    Nothing is reset by itself: an env whose episode is over waits for `reset([id])`. One thread drives it; `close` may
    come from any. Work that an env does in Python shares one interpreter, and what it does in its sandbox does not.

    Args:
        makers: One function for each env, called here and now.
    """

    def __init__(self, makers: Iterable[Callable[[], gymnasium.Env[Observation, Action]]]) -> None:
        self.envs = [make() for make in makers]
        if not self.envs:
            raise InputError("ReadyVectorEnv of no envs. Give at least one function that makes an env.")
        self._pool = ThreadPoolExecutor(len(self.envs), "env")
        self._changed = threading.Condition()
        self._busy: set[int] = set()
        self._ready: deque[tuple[int, Ready[Observation] | BaseException]] = deque()
        self._closed = False

    @property
    def num_envs(self) -> int:
        return len(self.envs)

    @property
    def busy(self) -> frozenset[int]:
        """Envs that work, or whose answer waits to be received."""
        with self._changed:
            return frozenset(self._busy)

    def reset(
        self,
        ids: Iterable[int] | None = None,
        *,
        seeds: Iterable[int | None] | None = None,
        options: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> None:
        """Begin an episode in some envs (default: in all). `seeds` and `options` hold one entry for each of them."""
        chosen = self._take(range(len(self.envs)) if ids is None else ids)
        work = []
        given = zip(_each(seeds, chosen, "seeds"), _each(options, chosen, "options"), strict=True)
        for id, (seed, option) in zip(chosen, given, strict=True):
            work.append(lambda id=id, seed=seed, option=option: self._reset(id, seed, option))
        self._start(chosen, work)

    def send(self, actions: Iterable[Action], ids: Iterable[int]) -> None:
        """Hand an action to each of some envs, and return at once. Raises InputError for one that is at work."""
        chosen = self._take(ids)
        work = []
        for id, action in zip(chosen, _each(actions, chosen, "actions"), strict=True):
            work.append(lambda id=id, action=action: self._step(id, action))
        self._start(chosen, work)

    def recv(self, least: int = 1, timeout: float | None = None) -> list[Ready[Observation]]:
        """Wait until `least` envs are ready (or all that work), and return all that are, the first ready one first.

        After `timeout` seconds it returns what there is. What an env raised is raised here, once, when its turn comes;
        answers that came before and after it are received by other calls.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            if not self._busy:
                raise InputError("recv(): no env is at work. Call reset() or send() first.")
            wanted = min(least, len(self._busy))
            while len(self._ready) < wanted and not self._closed:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            received: list[Ready[Observation]] = []
            while self._ready:
                id, answer = self._ready[0]
                if isinstance(answer, BaseException) and received:
                    break
                self._ready.popleft()
                self._busy.discard(id)
                if isinstance(answer, BaseException):
                    answer.add_note(f"in env {id} of a ReadyVectorEnv")
                    raise answer
                received.append(answer)
            return received

    def close(self) -> None:
        """Close all envs, also those at work: their sandboxes end. Closing twice is fine."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for env in self.envs:
            env.close()
        self._pool.shutdown(wait=True)
        for env in self.envs:
            env.close()  # a reset that was under way has opened another sandbox since

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- in the threads of the envs ---

    def _reset(self, id: int, seed: int | None, options: Mapping[str, Any] | None) -> Ready[Observation]:
        observation, info = self.envs[id].reset(seed=seed, options=None if options is None else dict(options))
        return Ready(id, observation, info=info)

    def _step(self, id: int, action: Action) -> Ready[Observation]:
        observation, reward, terminated, truncated, info = self.envs[id].step(action)
        return Ready(id, observation, float(reward), terminated, truncated, info)

    def _answer(self, id: int, work: Callable[[], Ready[Observation]]) -> None:
        answer: Ready[Observation] | BaseException
        try:
            answer = work()
        except BaseException as error:  # it belongs to the thread that receives
            answer = error
        with self._changed:
            self._ready.append((id, answer))
            self._changed.notify_all()

    # --- checks ---

    def _take(self, ids: Iterable[int]) -> list[int]:
        chosen = list(ids)
        with self._changed:
            if self._closed:
                raise InputError("this ReadyVectorEnv is closed. Make another one.")
            for place, id in enumerate(chosen):
                if not 0 <= id < len(self.envs):
                    raise InputError(f"ids[{place}] = {id}: there are envs 0 to {len(self.envs) - 1}.")
                if id in self._busy:
                    raise InputError(f"ids[{place}] = {id}: that env is at work. Receive its answer first.")
                if id in chosen[:place]:
                    raise InputError(f"ids[{place}] = {id}: named twice. Send one action at a time.")
        return chosen

    def _start(self, chosen: Sequence[int], work: Sequence[Callable[[], Ready[Observation]]]) -> None:
        with self._changed:
            self._busy.update(chosen)
        for id, one in zip(chosen, work, strict=True):
            self._pool.submit(self._answer, id, one)


def _each(values: Iterable[Any] | None, chosen: Sequence[int], name: str) -> list[Any]:
    """One value for each chosen env; None stands for as many times None."""
    found = [None] * len(chosen) if values is None else list(values)
    if len(found) != len(chosen):
        raise InputError(f"{name}: {len(found)} for {len(chosen)} envs. Give one for each.")
    return found
