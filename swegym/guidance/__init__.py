"""Teachers, the Guidance wrapper, leak checks, and taking hints out again."""

from swegym.guidance.asking import Answer, Tutor
from swegym.guidance.echo import echoes
from swegym.guidance.leaks import find_leaks, refuse_leaks
from swegym.guidance.message import guidance_message, is_guidance, without_guidance
from swegym.guidance.schedule import Schedule
from swegym.guidance.sight import Question
from swegym.guidance.teachers import make_teacher
from swegym.guidance.triggers import TRIGGERS, make_trigger, unattempted
from swegym.guidance.wrapper import GuidanceWrapper

__all__ = [
    "TRIGGERS",
    "Answer",
    "GuidanceWrapper",
    "Question",
    "Schedule",
    "Tutor",
    "echoes",
    "find_leaks",
    "guidance_message",
    "is_guidance",
    "make_teacher",
    "make_trigger",
    "refuse_leaks",
    "unattempted",
    "without_guidance",
]
