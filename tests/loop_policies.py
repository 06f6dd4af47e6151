"""A policy for tests of the loop: it changes something that has nothing to do with the bug, and submits."""

from swegym.policies.messages import call, say, turns_taken


def wrong(context):
    def act(messages, tools):
        if turns_taken(messages):
            return say("Done.", call("submit"), turn=1)
        line = f"print({context.seed % 7})"
        return say("I guess.", call("bash", command=f"echo '{line}' > notes.py"), turn=0)

    return act
