"""A student without a model: search-based program repair (generate and validate) through the environment's tools.

    run the tests under coverage -> rank functions by suspicion -> read them -> propose edits from classic templates
    -> try the edits, each in a process of its own -> apply the first that makes the tests pass -> check -> submit

What it knows is the issue, the tests that it may see, and a hint if the conversation holds one. A hint that names a
place narrows the search to it, so that rarer kinds of edits are tried there too. Same seed, same answers, up to how
many edits its seconds allow.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from swegym.config import Config, validate
from swegym.messages import lines_of
from swegym.policies import PolicyContext
from swegym.policies.localise import Function, Place, Suspect, issue_names, line_scores, places, rank
from swegym.policies.messages import call, say, turns_taken
from swegym.policies.repair_worker import PATIENCE
from swegym.policies.reproduction import reproduction
from swegym.policies.splice import Edit, Region, Snippet
from swegym.policies.templates import mentioned, proposals
from swegym.types import Message, Policy, ToolCall, ToolSchema

FOLDER = "/tmp/repair"
WORKER = f"{FOLDER}/repair_worker.py"
ISSUE_TESTS = f"{FOLDER}/test_issue.py"
MOST_READS = 12  # calls of `read`; each takes a turn
PAGE = 200  # lines of one call
FADING = 0.95  # of the score of an edit, for each before it of one kind at one line
LONGEST = 800  # lines of a function that is worth reading


class Options(Config):
    seconds: float = Field(12.0, gt=0)
    """Processor time for trying edits."""
    candidates: int = Field(400, ge=1)
    """Edits to try at most; a hint doubles it."""
    trace_seconds: float = Field(30.0, gt=0)
    """Processor time for running the visible tests under coverage."""


@dataclass(frozen=True, slots=True)
class Hint:
    """What a guidance message says that a search can use."""

    places: tuple[Place, ...] = ()
    templates: frozenset[str] = frozenset()


Conversation = Generator[tuple[str, ToolCall], str, None]  # says a sentence and a tool call, gets the tool's answer


def policy(context: PolicyContext) -> Policy:
    options = validate(Options, context.options, "options of policy repair")
    conversation: Conversation | None = None

    def act(messages: list[Message], tools: list[ToolSchema]) -> Message:
        nonlocal conversation
        if conversation is None:
            conversation = repair(context, options, read_hint(messages))
            said = next(conversation)
        else:
            try:
                said = conversation.send(messages[-1].get("content", ""))
            except StopIteration:
                said = ("There is nothing left to try.", call("submit"))
        content, tool_call = said
        return say(content, tool_call, turn=turns_taken(messages))

    return act


def repair(context: PolicyContext, options: Options, hint: Hint) -> Conversation:
    """The whole attempt. Each `yield` is one assistant message; its value is what the tool answered."""
    task = context.task
    for name in ("live_code.py", "repair_worker.py"):
        source = (Path(__file__).parent / name).read_text("utf-8")
        yield (
            "I put a script in place that runs tests and tries edits.",
            call("write", path=f"{FOLDER}/{name}", content=source),
        )
    examples = reproduction(task.issue)
    if examples:
        yield "The examples in the issue make tests.", call("write", path=ISSUE_TESTS, content=examples)
    request: dict[str, Any] = {
        "visible": list(task.visible),
        "extra": [ISSUE_TESTS] if examples else [],
        "outline": [place.path for place in hint.places],
        "seconds": options.trace_seconds,
    }
    answer = yield "Which tests fail, and which lines do they execute?", _run("trace", request, options.trace_seconds)
    trace = read_result(answer)
    if trace is None:
        yield "The tests do not run under coverage here, so I cannot search.", call("submit")
        return
    if not trace["failed"]:
        yield "No test shows the problem, so I could not tell a repair from any other edit.", call("submit")
        return

    suspects = localise(trace, task.issue, hint)
    regions: list[tuple[Suspect, Region]] = []
    reads = 0
    for suspect in suspects:
        function = suspect.function
        pages = range(function.first, function.last + 1, PAGE)
        if reads + len(pages) > MOST_READS:
            continue
        reads += len(pages)
        shown = ""
        for start in pages:
            shown += yield (
                f"{trace['failed']} tests fail. Suspicion of {function.name or 'these lines'}: {suspect.score:.2f}.",
                call("read", path=function.path, start=start, lines=min(PAGE, function.last + 1 - start)),
            )
            shown += "\n"
        region = read_region(shown, function, tuple(trace["names"].get(function.path, ())))
        if region is not None:
            regions.append((suspect, region))

    most = options.candidates * (2 if hint.places else 1)
    edits = choose(regions, hint, random.Random(context.seed), most)
    best: Edit | None = None
    if edits:
        request |= {"edits": [[e.path, e.first, e.last, e.new] for e in edits], "seconds": options.seconds}
        yield (
            f"I have {len(edits)} edits to try.",
            call("write", path=f"{FOLDER}/try.json", content=json.dumps(request)),
        )
        found = read_result((yield "I try them against the tests.", _start("try", options.seconds)))
        if found is not None:
            chosen = found["best"] if found["best"] is not None else found["partial"]
            best = None if chosen is None else edits[chosen]
    if best is None:
        yield "None of the edits makes the failing tests pass.", call("submit")
        return
    region = next(region for _, region in regions if region.path == best.path and _inside(best, region))
    for old, new in enlargements(best, region):
        answer = yield f"This edit helps: {best.description}.", call("edit", path=best.path, old=old, new=new)
        if answer.startswith("Edited"):
            break
    yield "I check the whole suite.", call("run_tests")
    yield "Done.", call("submit")


# --- talking to the tools ---------------------------------------------------------------------------------------------


def _run(command: str, request: Mapping[str, Any], seconds: float) -> ToolCall:
    """A bash call that hands the request over and starts the worker."""
    text = json.dumps(request)
    return call(
        "bash",
        command=f"cat > {FOLDER}/{command}.json <<'REQUEST'\n{text}\nREQUEST\n{_line(command)}",
        timeout=PATIENCE * seconds + 30,
    )


def _start(command: str, seconds: float) -> ToolCall:
    return call("bash", command=_line(command), timeout=PATIENCE * seconds + 30)


def _line(command: str) -> str:
    return f"python {WORKER} {command} {FOLDER}/{command}.json 2>&1 | tail -n 3"


def read_result(answer: str) -> dict[str, Any] | None:
    """The worker's result in what bash printed; None if it is not there or was cut."""
    for line in answer.splitlines():
        if line.startswith("RESULT "):
            try:
                result = json.loads(line.removeprefix("RESULT "))
            except (ValueError, RecursionError):  # the repository prints there, too
                return None
            return result if isinstance(result, dict) else None
    return None


def read_region(answer: str, function: Function, names: tuple[str, ...]) -> Region | None:
    """The lines that the read tool showed; None unless they are exactly the function's."""
    lines: list[str] = []
    for line in answer.split("\n"):
        match = re.match(r" *(\d+)\t(.*)$", line, re.DOTALL)
        if match and int(match[1]) == function.first + len(lines) <= function.last:
            lines.append(match[2] + "\n")
    if len(lines) != function.last - function.first + 1:
        return None
    return Region(function.path, function.first, "".join(lines), function.name, names)


def read_hint(messages: Sequence[Message]) -> Hint:
    text = "\n".join(m.get("content", "") for m in messages if m.get("extra", {}).get("source") == "guidance")
    if not text:
        return Hint()
    plan = re.search(r"What has to change there:(.*?)(?:\.|$)", text)
    return Hint(tuple(places(text)), mentioned(plan[1] if plan else text))


def enlargements(edit: Edit, region: Region) -> list[tuple[str, str]]:
    """(old, new) for the edit tool: the changed lines alone, then with ever more of the lines around them."""
    lines = lines_of(region.text)
    first, last = edit.first - region.first, edit.last - region.first + 1
    pairs = []
    for margin in (0, 2, 6, len(lines)):
        before, after = lines[max(0, first - margin) : first], lines[last : last + margin]
        pairs.append(("".join([*before, edit.old, *after]), "".join([*before, edit.new, *after])))
    return pairs


# --- deciding ---------------------------------------------------------------------------------------------------------


def localise(trace: Mapping[str, Any], issue: str, hint: Hint) -> list[Suspect]:
    """Functions to look at: those that a hint names, then by falling suspicion."""
    scores = {path: line_scores(runs, trace["failed"]) for path, runs in trace["spectra"].items()}
    functions = [Function(path, *entry) for path, entries in trace["parts"].items() for entry in entries]
    functions = [each for each in functions if each.last - each.first < LONGEST]
    suspects = rank(functions, scores, issue_names(issue))
    if not hint.places:
        return suspects
    known = {suspect.function: suspect for suspect in suspects}
    named = {function: None for place in hint.places for function in functions if place.holds(function)}
    hinted = [known.get(function, Suspect(function, 0.5)) for function in named]
    return hinted + [suspect for suspect in suspects if suspect.function not in named]


def choose(regions: Sequence[tuple[Suspect, Region]], hint: Hint, generator: random.Random, most: int) -> list[Edit]:
    """The edits to try, in order: suspicion of their line times how often such an edit is right, a little shuffled."""
    ranked: list[tuple[float, Snippet, Edit]] = []
    for suspect, region in regions:
        try:
            snippet = Snippet(region)
        except (SyntaxError, ValueError, RecursionError):
            continue  # a function that does not parse on its own
        alike: Counter[tuple[int, str]] = Counter()
        for edit in proposals(snippet):
            # Ever less for the many edits of one kind at one line, so that they do not crowd out the other lines.
            score = suspect.line_score(edit.first) * edit.prior * FADING ** alike[edit.first, edit.template]
            alike[edit.first, edit.template] += 1
            if edit.template in hint.templates:
                score *= 1.5
            named = [place for place in hint.places if place.holds(suspect.function)]
            if any(place.near(edit.first, 0) for place in named):
                score *= 4.0
            elif any(place.near(edit.first, 3) for place in named):
                score *= 2.0
            ranked.append((score * generator.uniform(0.85, 1.15), snippet, edit))
    ranked.sort(key=lambda each: -each[0])
    chosen: list[Edit] = []
    for _, snippet, edit in ranked:
        if len(chosen) == most:
            break
        if snippet.changes(edit):
            chosen.append(edit)
    return chosen


def _inside(edit: Edit, region: Region) -> bool:
    return region.first <= edit.first and edit.last < region.first + region.text.count("\n")
