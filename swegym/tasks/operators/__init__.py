"""Mutation operators: pure functions that look at one syntax node and yield the edits that they would make there.

An edit is a span of the source and the text to put in its place, so that everything around it stays as it is. A new
operator is one more function in the file of its family, and one more line in `OPERATORS`. What an operator makes must
not change once a recipe names it; a recipe's hash notices.
"""

from __future__ import annotations

from swegym.tasks.operators import (
    arithmetic,
    branches,
    calls,
    conditions,
    constants,
    defaults,
    exceptions,
    names,
    sequences,
)
from swegym.tasks.operators.edits import Edit, Operator, Scope, SourceText

__all__ = ["OPERATORS", "Edit", "Operator", "Scope", "SourceText"]

# In the order in which edits at one place are told apart: new ones at the end.
OPERATORS: dict[str, Operator] = {
    operator.__name__: operator
    for operator in (
        constants.integer_constant,
        constants.boolean_constant,
        conditions.comparison_boundary,
        conditions.comparison_negated,
        conditions.inverted_condition,
        conditions.dropped_not,
        conditions.boolean_operator,
        arithmetic.arithmetic_operator,
        arithmetic.augmented_assignment,
        calls.swapped_arguments,
        calls.dropped_keyword,
        sequences.slice_bound,
        branches.removed_branch,
        branches.dropped_else,
        calls.removed_call,
        calls.method_name,
        calls.function_name,
        names.wrong_variable,
        constants.text_constant,
        constants.dropped_sign,
        conditions.dropped_condition,
        conditions.swapped_values,
        conditions.narrowed_type,
        arithmetic.rounded_division,
        calls.dropped_fallback,
        calls.dropped_conversion,
        sequences.index_end,
        sequences.range_bound,
        branches.dropped_branch,
        branches.loop_exit,
        branches.missing_return,
        names.wrong_attribute,
        names.swapped_targets,
        exceptions.wrong_exception,
        exceptions.narrowed_except,
        exceptions.swallowed_error,
        defaults.wrong_default,
        defaults.mutable_default,
    )
}
