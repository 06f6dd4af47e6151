"""Classic repair templates (after GenProg, PAR, SPR and the like): small edits of one expression or statement.

A template looks at one node and yields texts to put in the place of a node, or in front of a statement. None of them
knows any project. This is their table; `proposals` runs them all over a region.
"""

from __future__ import annotations

from swegym.policies.scope import Before, Template, scope_of
from swegym.policies.splice import Edit, Snippet
from swegym.policies.template_calls import (
    add_argument,
    change_arguments,
    similar_name,
    swap_variable,
    wrap_call,
)
from swegym.policies.template_conditions import (
    change_comparison,
    change_connective,
    drop_operand,
    extend_condition,
    fix_condition,
    negate_condition,
    swap_branches,
)
from swegym.policies.template_statements import (
    change_jump,
    insert_guard,
    swap_statements,
    widen_handler,
)
from swegym.policies.template_values import (
    change_arithmetic,
    change_constant,
    change_pattern,
    change_slice,
    off_by_one,
)


def proposals(snippet: Snippet) -> list[Edit]:
    """Every edit that the templates propose for a region, without repetitions. Some may not parse: see `changes`."""
    scope = scope_of(snippet)
    found: dict[tuple[int, int, str], Edit] = {}
    for node in snippet.nodes():
        for template, prior, _ in TEMPLATES:
            for target, text in template(node, scope):
                if isinstance(target, Before):
                    indentation = snippet.indentation(target.statement)
                    if indentation.strip():
                        continue  # the statement shares its line
                    start = end = snippet.span(target.statement)[0]
                    text = f"{text}\n{indentation}"
                else:
                    start, end = snippet.span(target)
                edit = snippet.edit(start, end, text, template.__name__, prior)
                key = (edit.first, edit.last, edit.new)
                if edit.new != edit.old and (key not in found or found[key].prior < prior):
                    found[key] = edit
    return list(found.values())


# Each template, how often such an edit is right compared to the others, and words for the kind of bug it repairs.
TEMPLATES: tuple[tuple[Template, float, str], ...] = (
    (change_comparison, 1.0, "comparison boundary operator inequality equality identity membership"),
    (negate_condition, 0.95, "negation negated inverted condition not branch"),
    (change_connective, 0.95, "boolean logical connective and or condition"),
    (change_arithmetic, 0.9, "arithmetic operator sign accumulation assignment"),
    (change_constant, 0.8, "constant literal number default boolean flag value"),
    (off_by_one, 0.8, "off-by-one index boundary range length"),
    (change_slice, 0.8, "slice index bound subscript"),
    (drop_operand, 0.7, "condition operand dropped extra boolean"),
    (change_arguments, 0.75, "argument order swapped parameter call"),
    (similar_name, 0.75, "method name attribute function wrong call"),
    (swap_branches, 0.8, "branch conditional swapped"),
    (swap_variable, 0.55, "variable name wrong value"),
    (change_jump, 0.6, "return break continue statement loop value"),
    (insert_guard, 0.4, "none guard missing check empty null"),
    (widen_handler, 0.6, "exception except handler error"),
    (wrap_call, 0.4, "conversion type call missing wrap copy"),
    (fix_condition, 0.45, "condition always never"),
    (add_argument, 0.4, "argument missing parameter call"),
    (swap_statements, 0.45, "order statement sequence"),
    (change_pattern, 0.5, "regular expression regex pattern"),
    (extend_condition, 0.35, "condition missing check incomplete guard"),
)


def mentioned(words: str) -> frozenset[str]:
    """The templates whose kind of bug a text names."""
    present = set(words.lower().replace("_", "-").split())
    present |= {word.strip(".,;:()`'\"") for word in present}
    return frozenset(template.__name__ for template, _, kinds in TEMPLATES if present & set(kinds.split()))
