"""A policy for tests of the loop: it changes something that has nothing to do with the bug, and submits."""

from swegym.policies.messages import call, say, turns_taken


def wrong(context):
    def act(messages, tools):
        if turns_taken(messages):
            return say("Done.", call("submit"), turn=1)
        line = f"print({context.seed % 7})"
        return say("I guess.", call("bash", command=f"echo '{line}' > notes.py"), turn=0)

    return act


def fix(context):
    """What the reference fix does, as one line in the place of another; its task is one of `micro`."""
    from swegym.tasks import load_task_set

    patch = load_task_set("micro").load(context.task.id).gold_patch
    path = patch.split("+++ b/")[1].split("\n")[0]
    line = int(patch.split("@@ -")[1].split(",")[0]) - 1
    for text in patch.split("@@")[2].splitlines()[1:]:
        line += not text.startswith("+")
        if text.startswith("+"):
            command = f"sed -i '{line}c\\{text[1:]}' {path}"

    def act(messages, tools):
        if turns_taken(messages):
            return say("Done.", call("submit"), turn=1)
        return say("I see.", call("bash", command=command), turn=0)

    return act
