"""What a micro task set says of itself: how its generated repositories are drawn, and how many there are of which.

    [micro]
    seed = 1
    [micro.parts.train]
    count = 4000
    split = "train"
    mix = { frequent = 0.6, rare = 0.3, absent = 0.1 }

The ids of a part are `<set>-<part>-<n>`, n from 0. A larger count adds tasks and changes none.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from swegym import config

Frequency = Literal["frequent", "rare", "absent"]
Split = Literal["train", "dev", "test"]
Range = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


class MicroOptions(config.Config):
    """How repositories are drawn. Ranges are from-to, both included."""

    mix: dict[Frequency, Annotated[float, Field(ge=0)]] = Field(default={"frequent": 0.6, "rare": 0.3, "absent": 0.1})
    """How often a bug is of a class of which frequency; weights, which need not add up to 1."""
    classes: dict[Frequency, tuple[str, ...]] = Field(default={})
    """Mutation operators per frequency, where they are not to be `swegym.tasks.sources.micro.CLASSES`."""
    modules: Range = (1, 3)
    """Source files of a repository; one file of tests comes on top."""
    functions: Range = (1, 3)
    """Functions of a source file."""
    wrapped: float = Field(default=0.3, ge=0, le=1)
    """How often, where there is another module, the issue shows a function there that calls the one with the bug."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> Self:
        if sum(self.mix.values()) <= 0:
            raise ValueError("mix must give at least one frequency a weight above 0")
        for name, most in (("modules", 4), ("functions", 6)):
            low, high = getattr(self, name)
            if not low <= high <= most:
                raise ValueError(f"{name} must be a range from low to high, with at most {most}")
        return self


class MicroPart(MicroOptions):
    """One series of tasks of a micro set."""

    count: int = Field(ge=0, le=1_000_000)
    split: Split = "train"

    def options(self) -> MicroOptions:
        return MicroOptions(**self.model_dump(include=set(MicroOptions.model_fields)))


class MicroTable(config.Config):
    """The table `[micro]` of a set.toml."""

    seed: int = Field(ge=0)
    parts: dict[Annotated[str, Field(pattern="^[a-z0-9]+$")], MicroPart]

    def series(self, part: str) -> int:
        """The seed of a part's own series, so that no two parts share a task."""
        return int.from_bytes(hashlib.sha256(f"{self.seed}/{part}".encode()).digest()[:6])
