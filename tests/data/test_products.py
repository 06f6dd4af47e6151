"""What each kind of data holds and refuses; the pair contract has a file of its own."""

import dataclasses
import json

import pytest

from swegym.data import Guards, make_pairs
from swegym.data.attempts import Attempts
from swegym.data.groups import make_groups
from swegym.data.guards import BAIT, TAMPERED
from swegym.data.kto import make_kto
from swegym.data.make import KINDS, make
from swegym.data.pair_rows import BALANCE
from swegym.data.pairs import ECHO, GUIDED_FAILURE, NEAR_DUPLICATE, OTHER_PREFIX, WENT_ON
from swegym.data.reward import BOTH_WAYS, EMPTY, NO_OTHER, SAME_CHANGE, make_reward, make_reward_pairs
from swegym.data.sft import FAILED, GUIDED, NOT_DRAWN, TOOK_OVER, make_sft
from swegym.data.steps import NOTHING_SHARED, make_steps
from swegym.errors import InputError
from swegym.guidance import guidance_message
from swegym.types import Verdict
from tests.data import token_turns
from tests.data.test_pairs import HINT, OPENING, attempt


def words(number: int) -> str:
    return " ".join(f"word{number}x{place}" for place in range(60))


# --- guards, which hold for every product -----------------------------------------------------------------------------

MAKERS = [make_pairs, make_steps, make_sft, make_reward, make_reward_pairs, make_kto, make_groups]


@pytest.mark.parametrize("make", MAKERS)
def test_no_product_uses_what_may_not_train(make):
    tampered = Verdict(False, "agent", "", tampering=("wrote to the channel",))
    group = [
        attempt(0, None),
        attempt(1, False, verdict=tampered),
        attempt(2, True, bait=("answers.txt",)),
        attempt(3, True, task="held"),
    ]
    guards = Guards(refusals=(lambda source: "held out" if source.task == "held" else None,))
    made = make(group, guards=guards)
    assert not made.rows
    assert made.dropped == {"not judged: sandbox": 1, TAMPERED: 1, BAIT: 1, "held out": 1}
    assert made.examples["held out"] == ("held__3",)


@pytest.mark.parametrize("make", MAKERS)
def test_ids_that_coincide_are_refused(make):
    with pytest.raises(InputError, match="read_runs"):
        make([attempt(0, True), attempt(0, False)])


DEEP = {"id": "d", "type": "function", "function": {"name": "bash", "arguments": "[" * 100_000}}


@pytest.mark.parametrize("kind", KINDS)
def test_no_call_that_a_model_can_write_keeps_all_others_from_data(kind):
    group = [attempt(number, number > 0, guided=number == 2) for number in range(3)]
    spoken = {"role": "assistant", "content": "", "tool_calls": [DEEP]}
    odd = [dataclasses.replace(one, messages=(*one.messages, spoken)) for one in group]
    assert make(kind, Attempts(tuple(odd))).report()


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_half_a_surrogate_pair_in_a_record_is_none_in_a_file(tmp_path, kind):
    import datasets

    file = tmp_path / ("rows.jsonl" if kind == "json" else "rows.parquet")
    make_kto([attempt(0, True, said="\ud800"), attempt(1, False, said="\ud800")]).write(file)
    read = datasets.load_dataset(kind, data_files=str(file), cache_dir=str(tmp_path / "cache"))["train"]
    assert [row["completion"][0]["content"] for row in read] == ["?", "?"]


def test_an_issue_that_speaks_of_the_tags_around_it_is_whole():
    issue = "parse('<issue>a</issue>') is wrong.\n\nIt wants </issue> at the end."
    opening = {"role": "user", "content": f"Solve this.\n\n<issue>\n{issue}\n</issue>\n\nTests: tests"}
    one = attempt(0, True)
    (row,) = make_reward([dataclasses.replace(one, messages=(opening, *one.messages[2:]))]).rows
    assert row["issue"] == issue


def test_a_policy_takes_no_turn_of_its_own_out_of_the_data():
    mine = {"role": "assistant", "content": "cheat", "extra": {"source": "guidance"}}
    plain = attempt(0, True)
    (row,) = make_sft([dataclasses.replace(plain, messages=(*plain.messages[:2], mine, *plain.messages[2:]))]).rows
    assert [message.get("content") for message in row["messages"]][2] == "cheat"


def test_a_success_that_nearly_repeats_another_is_left_out():
    said = words(1)
    group = [
        attempt(0, True, said=said, patch="+a = 1"),
        attempt(1, True, said=said, patch="+a  =  1"),
        attempt(2, False),
    ]
    made = make_pairs(group)
    assert len(made) == 1 and made.dropped == {NEAR_DUPLICATE: 1} and made.examples[NEAR_DUPLICATE] == ("t__1",)
    assert len(make_pairs(group, guards=Guards(near_duplicates=None))) == 2


@pytest.mark.parametrize("make", [make_pairs, make_sft, make_kto])
def test_what_is_not_used_itself_keeps_no_repetition_of_it_out(make):
    said = words(1)
    group = [
        attempt(0, True, guided=True, said=said + " as the hint says", patch="p"),
        attempt(1, True, said=said, patch="p"),
        attempt(2, False),
    ]
    made = make(group)
    assert "t__1" in {row.get("id", row.get("chosen_id")) for row in made.rows}


def test_another_way_to_the_same_change_is_no_repetition():
    group = [attempt(0, True, said=words(1), patch="p"), attempt(1, True, said=words(2), patch="p"), attempt(2, False)]
    assert len(make_pairs(group)) == 2


def test_length_bias_is_told_and_can_be_balanced():
    long, short = words(1) * 3, words(2)
    group = []
    for number in range(6):
        group += [attempt(0, True, task=f"l{number}", said=long), attempt(1, False, task=f"l{number}", said=short)]
    group += [attempt(0, True, task="s", said=short), attempt(1, False, task="s", said=long)]
    told = make_pairs(group).notes["length"]
    assert (told["pairs"], told["unit"]) == (7, "characters") and told["chosen_longer"] == pytest.approx(
        6 / 7, abs=1e-4
    )
    assert told["deviations"] == pytest.approx(1.89, abs=0.01) and told["chosen_mean"] > told["rejected_mean"]
    balanced = make_pairs(group, guards=Guards(length="balance"))
    assert len(balanced) == 2 and balanced.dropped == {BALANCE: 5}
    assert balanced.notes["length"]["balanced"]["chosen_longer"] == 0.5


# --- same-prefix pairs ------------------------------------------------------------------------------------------------


def branch(success_turn: str, failure_turn: str, *, replayed: bool = False):
    """A failure of two turns and a success that shares the first of them."""
    failure = attempt(0, False, said="shared")
    *opening, shared, answer = failure.messages
    last = {"role": "assistant", "content": failure_turn}
    failure = dataclasses.replace(failure, messages=(*opening, shared, answer, last))
    taken = {**shared, "extra": {"replayed": True}} if replayed else shared
    hint = (guidance_message(HINT),) if replayed else ()
    call = {"id": "d", "type": "function", "function": {"name": "edit", "arguments": "{}"}}
    turn = {"role": "assistant", "content": success_turn, "tool_calls": [call]}
    messages = (*opening, taken, answer, *hint, turn, answer, last)
    success = attempt(0, True, guided=True) if replayed else attempt(1, True)
    return dataclasses.replace(success, messages=messages), failure


def test_a_step_pair_parts_in_one_turn():
    (row,) = make_steps(branch("right", "wrong")).rows
    assert [message["role"] for message in row["prompt"]] == ["system", "user", "assistant", "tool"]
    assert [message["content"] for side in ("chosen", "rejected") for message in row[side]] == ["right", "wrong"]
    assert row["kind"] == "plain-step"


def test_a_branch_pair_goes_on_to_the_end():
    (row,) = make_steps(branch("right", "wrong"), until="end").rows
    assert len(row["chosen"]) == 3 and len(row["rejected"]) == 1 and row["kind"] == "plain-branch"


def test_without_a_shared_turn_there_is_no_step():
    assert make_steps([attempt(0, True), attempt(1, False)]).dropped == {NOTHING_SHARED: 1}


def test_of_several_failures_the_nearest_is_taken():
    success, near = branch("right", "wrong")
    far = attempt(7, False, said="another beginning")
    (row,) = make_steps([success, near, far]).rows
    assert row["rejected_id"] == near.id


def test_turns_that_a_success_took_over_belong_to_the_prompt_of_its_pair():
    success, failure = branch("right", "wrong", replayed=True)
    (row,) = make_pairs([success, failure]).rows
    assert row["prompt"][-1]["role"] == "tool" and row["kind"] == "guided"
    assert row["chosen"][0]["content"] == "right" and row["rejected"][0]["content"] == "wrong"
    other = dataclasses.replace(attempt(5, False), messages=(*OPENING, {"role": "assistant", "content": "else"}))
    assert make_pairs([success, other]).dropped == {OTHER_PREFIX: 1}


def test_a_step_never_chooses_a_turn_that_was_taken_over():
    success, failure = branch("right", "wrong", replayed=True)
    *opening, taken, answer, hint, turn, _, last = success.messages
    second = {"role": "assistant", "content": "second", "extra": {"replayed": True}}
    messages = (*opening, taken, answer, second, answer, hint, turn, answer, last)
    made = make_steps([dataclasses.replace(success, messages=messages), failure])
    assert made.dropped == {OTHER_PREFIX: 1}


def test_turns_that_a_success_took_over_are_taught_by_no_product():
    success, failure = branch("right", "wrong", replayed=True)
    row = next(row for row in make_kto([success, failure]).rows if row["label"])
    assert row["prompt"][-1]["role"] == "tool" and row["completion"][0]["content"] == "right"
    assert make_sft([success], share=1.0, guided="keep").dropped == {TOOK_OVER: 1}


@pytest.mark.parametrize("make", [make_pairs, make_steps, make_kto])
def test_a_success_behind_its_failures_submission_has_no_place_in_an_attempt_without_hints(make):
    success, _ = branch("right", "wrong", replayed=True)
    submission = {"id": "s", "type": "function", "function": {"name": "submit", "arguments": "{}"}}
    *opening, taken, answer, hint, turn, _, last = success.messages
    messages = (*opening, {**taken, "tool_calls": [submission]}, answer, hint, turn, answer, last)
    made = make([dataclasses.replace(success, messages=messages)])
    assert not made.rows and made.dropped == {WENT_ON: 1}


# --- tokens -----------------------------------------------------------------------------------------------------------


def token_pair():
    first = token_turns.spoken([250, 251], prompt_token_ids=token_turns.PROMPT)
    failure = token_turns.plain(resolved=False, id="t__1", patch="q")
    system, issue, _, *rest = failure.messages
    return token_turns.guided(), dataclasses.replace(failure, messages=(system, issue, first, *rest))


def test_a_pairs_tokens_share_the_plain_prompt():
    (row,) = make_pairs(token_pair()).rows
    chosen, rejected = row["chosen_tokens"], row["rejected_tokens"]
    assert chosen["ids"] == [100, 101, 102, 200, 201, 300, 301, 400] and chosen["hint"] == []
    assert rejected["ids"] == [100, 101, 102, 250, 251, 300, 301, 400]
    assert chosen["mask"] == rejected["mask"] == [0, 0, 0, 1, 1, 0, 0, 1]
    assert make_pairs(token_pair()).notes["length"]["unit"] == "tokens"


def test_sides_with_other_prompts_have_no_tokens_together():
    success, failure = token_pair()
    failure = token_turns.with_extra(failure, 0, prompt_token_ids=[100, 101, 103])
    (row,) = make_pairs([success, failure]).rows
    assert row["chosen_tokens"] is row["rejected_tokens"] is None


def test_a_step_pairs_tokens_end_with_its_turn():
    success = token_turns.plain()
    last = token_turns.spoken([500], context_token_ids=[450])
    success = dataclasses.replace(success, messages=(*success.messages, token_turns.ANSWER, last))
    failure = token_turns.plain(resolved=False, id="t__1", patch="q")
    messages = list(failure.messages)
    messages[-1] = token_turns.spoken([444], context_token_ids=[300, 301])
    (row,) = make_steps([success, dataclasses.replace(failure, messages=tuple(messages))]).rows
    assert row["chosen_tokens"]["ids"] == [100, 101, 102, 200, 201, 300, 301, 400]
    assert row["chosen_tokens"]["mask"] == [0, 0, 0, 0, 0, 0, 0, 1] == row["rejected_tokens"]["mask"]
    assert row["chosen_tokens"]["turns"] == [[7, 8]] and row["rejected_tokens"]["ids"][-1] == 444


# --- demonstrations ---------------------------------------------------------------------------------------------------


def solved(count: int, **fields):
    return [attempt(number, True, said=words(number), task=f"t{number}", **fields) for number in range(count)]


def test_a_fifth_of_the_successes_without_a_hint():
    group = [
        *solved(8),
        *[attempt(n, True, guided=True, said=words(n + 50), task=f"g{n}") for n in range(2)],
        attempt(90, False),
    ]
    made = make_sft(group)
    assert len(made) == 2 and not any(row["guided"] for row in made.rows)
    assert made.dropped == {FAILED: 1, GUIDED: 2, NOT_DRAWN: 6}


def test_at_least_one_and_at_most_what_there_is():
    assert len(make_sft(solved(1))) == 1 and len(make_sft(solved(7), share=1.0)) == 7
    assert not make_sft([attempt(0, False)]).rows


def test_no_task_crowds_out_the_others():
    crowd = [attempt(number, True, said=words(number), task="crowd") for number in range(20)]
    made = make_sft([*crowd, *solved(5)])
    assert len(made) == 5 and len({row["task"] for row in made.rows}) == 5


def test_the_ablation_keeps_the_hint_or_strips_it():
    group = [attempt(0, True, guided=True)]
    (kept,) = make_sft(group, guided="keep").rows
    (stripped,) = make_sft(group, guided="strip").rows
    assert "misbehaves" in json.dumps(kept["messages"]) and "misbehaves" not in json.dumps(stripped["messages"])
    assert make_sft([attempt(0, True, guided=True, said="As the hint says.")], guided="strip").dropped == {ECHO: 1}


def test_a_demonstrations_tokens():
    (plain,) = make_sft([token_turns.guided()], guided="strip").rows
    (kept,) = make_sft([token_turns.guided()], guided="keep").rows
    assert plain["tokens"][0]["ids"][:3] == [100, 101, 102] and kept["tokens"][0]["hint"] == [[2, 4]]


# --- reward rows ------------------------------------------------------------------------------------------------------


def test_each_change_is_one_row_with_its_label():
    group = [
        attempt(0, True, patch="+a"),
        attempt(1, True, patch="+ a"),
        attempt(2, False, patch="+b"),
        attempt(3, False, patch=""),
    ]
    made = make_reward(group)
    assert [(row["patch"], row["label"]) for row in made.rows] == [("+a", True), ("+b", False)]
    assert made.dropped == {SAME_CHANGE: 1, EMPTY: 1} and made.notes["labels"] == {"resolved": 1, "unresolved": 1}
    assert made.rows[0]["issue"] == "area is wrong"


def test_a_change_that_was_judged_both_ways_teaches_nothing():
    assert make_reward([attempt(0, True, patch="+a"), attempt(1, False, patch="+a")]).dropped == {BOTH_WAYS: 2}


def test_a_guided_failure_is_a_patch_like_any_other():
    (row,) = make_reward_pairs([attempt(0, True), attempt(1, False, guided=True)]).rows
    assert (row["chosen_id"], row["rejected_id"], row["kind"]) == ("t__0", "t__1g", "guided")
    assert row["chosen"] == [{"role": "assistant", "content": row["chosen_patch"]}] and "misbehaves" not in json.dumps(
        row
    )


def test_patches_without_their_opposite_give_no_pair():
    assert make_reward_pairs([attempt(0, True), attempt(1, True)]).dropped == {NO_OTHER: 2}


def test_several_failures_for_each_success():
    group = [attempt(0, True), *[attempt(n, False) for n in range(1, 6)]]
    assert len(make_reward_pairs(group, per_success=3)) == 3 and len(make_reward_pairs(group, per_success=9)) == 5


# --- unpaired preferences ---------------------------------------------------------------------------------------------


def test_successes_are_desirable_and_plain_failures_are_not():
    made = make_kto(
        [attempt(0, True), attempt(1, False), attempt(2, True, guided=True), attempt(3, False, guided=True)]
    )
    assert [(row["id"], row["label"]) for row in made.rows] == [("t__0", True), ("t__1", False), ("t__2g", True)]
    assert made.dropped == {GUIDED_FAILURE: 1} and all(row["prompt"] == list(OPENING) for row in made.rows)


# --- groups -----------------------------------------------------------------------------------------------------------


def test_a_group_is_all_judged_attempts_of_one_policy_version():
    group = [
        attempt(0, True),
        attempt(1, False),
        attempt(0, True, guided=True),
        attempt(2, False, policy_version="w", id="x"),
    ]
    first, second = make_groups(group).rows
    assert [row["id"] for row in first["rows"]] == ["t__0", "t__0g", "t__1"] and [r["id"] for r in second["rows"]] == [
        "x"
    ]
    assert [row["reward"] for row in first["rows"]] == [1.0, 1.0, 0.0] and first["policy_version"] == "v"


def test_a_guided_row_has_the_same_output_under_both_prompts():
    (row,) = make_groups([token_turns.guided(), token_turns.plain(id="t__1", resolved=False)]).rows
    guided, plain = row["rows"]
    assert guided["tokens"][0]["ids"] == plain["tokens"][0]["ids"] and plain["guidance_tokens"] is None
    assert guided["guidance_tokens"][0]["hint"] == [[2, 4]] and "misbehaves" in guided["guidance"]
    assert guided["tokens"][0]["logprobs"] == [0, 0, 0, -0.2, -0.201, 0, 0, -0.4]
    assert "misbehaves" not in json.dumps(guided["completion"])


def test_feedback_is_a_sibling_never_itself_or_what_the_tests_said():
    run = {"role": "assistant", "tool_calls": [{"id": "r", "function": {"name": "run_tests", "arguments": "{}"}}]}
    failure = attempt(1, False)
    failure = dataclasses.replace(
        failure,
        messages=(
            *failure.messages,
            run,
            {"role": "tool", "tool_call_id": "r", "content": "1 failed"},
            failure.messages[-2],
        ),
    )
    (lone,) = make_groups([attempt(0, True), failure]).rows
    by_id = {row["id"]: row for row in lone["rows"]}
    assert by_id["t__0"]["feedback"] is None  # a lone success has no sibling
    assert by_id["t__1"]["feedback_kind"] == "sibling" and "patch 0" in by_id["t__1"]["feedback"]
    (env,) = make_groups([attempt(0, True), failure], feedback=("env",)).rows
    assert [row["feedback_kind"] for row in env["rows"]] == [None, "env"] and "1 failed" in env["rows"][1]["feedback"]
    (none,) = make_groups([failure], feedback=("sibling",)).rows
    assert none["rows"][0]["feedback"] is None
    (told,) = make_groups([failure], critiques={"t__1": "You misread the issue."}).rows
    assert told["rows"][0]["feedback_kind"] == "critique"


def test_groups_keep_echoes_and_repetitions_and_say_so():
    group = [attempt(0, True, guided=True, said="As the hint says."), attempt(1, False), attempt(2, False)]
    made = make_groups(group)
    assert [row["echo"] for row in made.rows[0]["rows"]] == [True, False, False]
    assert made.notes == {"attempts": 3, "mixed": 1, "solved_only_guided": 1}
