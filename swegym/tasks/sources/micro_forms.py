"""Forms: the small functions that micro repositories are made of, as text with holes.

`$f` is the function's name, `$a $b` numbers, `$v` a list of numbers, `$t $u` texts, `$w` a list of words, `$k < $m`
small numbers, `$s` a separator. The docstring says what the function does, constants and all, so that whoever reads the
repository can tell right from wrong without running it. No form loops without a bound, whatever an operator makes of
it.

A form is added by one more entry: holes are filled and arguments made by what the text uses.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Form:
    """One function with holes."""

    names: tuple[str, ...]  # what it may be called
    text: str
    takes: str  # the kinds of its arguments in order: a number, v list of numbers, t text, w list of words
    nonempty: bool = False  # whether its lists must hold something
    twice: bool = False  # whether a case calls it twice, to see what stays behind


MODULES = ("basket", "ledger", "limits", "labels", "meters", "points", "prices", "ranges", "scores", "stock", "totals")
NUMBERS = ("amount", "count", "level", "number", "price", "size", "value", "weight")
LISTS = ("items", "levels", "numbers", "points", "prices", "rows", "scores", "values")
TEXTS = ("label", "line", "name", "phrase", "text", "title", "word")
WORDS = ("labels", "lines", "names", "parts", "words")
SEPARATORS = ("-", "/", ",", "+", ":", "_")
LETTERS = "abcdeiorst"

FORMS = (
    Form(
        ("add_fee", "with_fee", "sum_less"),
        'def $f($a, $b):\n    """Add $a and $b, less $k."""\n    return $a + $b - $k\n',
        "aa",
    ),
    Form(
        ("cut_off", "at_most", "cap"),
        'def $f($a):\n    """$a, but $k where it is more."""\n    if $a > $k:\n        return $k\n    return $a\n',
        "a",
    ),
    Form(
        ("at_least", "lift", "floor_of"),
        'def $f($a):\n    """$a, but $k where it is less."""\n    if $a < $k:\n        return $k\n    return $a\n',
        "a",
    ),
    Form(
        ("in_range", "fits", "allowed"),
        'def $f($a):\n    """Whether $a is at least $k and below $m."""\n    return $a >= $k and $a < $m\n',
        "a",
    ),
    Form(
        ("outside", "too_far", "refused"),
        'def $f($a):\n    """Whether $a is below $k or above $m."""\n    return $a < $k or $a > $m\n',
        "a",
    ),
    Form(
        ("count_above", "how_many", "number_over"),
        'def $f($v):\n    """Count what of $v is above $k."""\n    count = 0\n'
        "    for item in $v:\n        if item > $k:\n            count += 1\n    return count\n",
        "v",
    ),
    Form(
        ("sum_small", "total_to", "small_sum"),
        'def $f($v):\n    """Add up what of $v is at most $k."""\n    total = 0\n'
        "    for item in $v:\n        if item <= $k:\n            total += item\n    return total\n",
        "v",
    ),
    Form(
        ("largest", "highest", "peak"),
        'def $f($v, start=$k):\n    """The largest of $v and start, which is $k."""\n    best = start\n'
        "    for item in $v:\n        if item > best:\n            best = item\n    return best\n",
        "v",
    ),
    Form(
        ("smallest", "lowest", "bottom"),
        'def $f($v, start=$m):\n    """The smallest of $v and start, which is $m."""\n    best = start\n'
        "    for item in $v:\n        if item < best:\n            best = item\n    return best\n",
        "v",
    ),
    Form(
        ("scaled", "times", "scale_up"),
        'def $f($v):\n    """Each of $v times $k."""\n    return [item * $k for item in $v]\n',
        "v",
    ),
    Form(
        ("kept", "only_over", "select_over"),
        'def $f($v):\n    """What of $v is at least $k."""\n    return [item for item in $v if item >= $k]\n',
        "v",
    ),
    Form(
        ("without_first", "skip_first", "after_first"),
        'def $f($v):\n    """$v without the first $k."""\n    return $v[$k:]\n',
        "v",
    ),
    Form(
        ("first_part", "head", "opening"),
        'def $f($v):\n    """The first $k of $v."""\n    return $v[:$k]\n',
        "v",
    ),
    Form(
        ("spread", "width_of", "extent"),
        'def $f($v):\n    """The largest of $v minus the smallest."""\n    return max($v) - min($v)\n',
        "v",
        nonempty=True,
    ),
    Form(
        ("clamp", "hold", "keep_within"),
        'def $f($a):\n    """$a, but not below $k and not above $m."""\n    return max($k, min($a, $m))\n',
        "a",
    ),
    Form(
        ("all_over", "every_over", "full"),
        'def $f($v):\n    """Whether all of $v are above $k."""\n    return all(item > $k for item in $v)\n',
        "v",
    ),
    Form(
        ("any_under", "some_under", "has_small"),
        'def $f($v):\n    """Whether any of $v is below $k."""\n    return any(item < $k for item in $v)\n',
        "v",
    ),
    Form(
        ("close_to", "near", "similar"),
        'def $f($a, $b):\n    """Whether $a and $b are at most $k apart."""\n    return abs($a - $b) <= $k\n',
        "aa",
    ),
    Form(
        ("round_down", "whole_steps", "step_down"),
        'def $f($a):\n    """$a rounded down to a multiple of $k."""\n    return $a // $k * $k\n',
        "a",
    ),
    Form(
        ("move_on", "turn", "next_place"),
        'def $f($a):\n    """$a plus $k, starting again at $m."""\n    return ($a + $k) % $m\n',
        "a",
    ),
    Form(
        ("position", "first_over", "find_over"),
        'def $f($v):\n    """The place of the first of $v above $k, or -1."""\n'
        "    for place, item in enumerate($v):\n        if item > $k:\n            return place\n    return -1\n",
        "v",
    ),
    Form(
        ("running", "sums", "growing"),
        'def $f($v):\n    """The sum of $v so far, at each place, from $k."""\n    total = $k\n    found = []\n'
        "    for item in $v:\n        total += item\n        found.append(total)\n    return found\n",
        "v",
    ),
    Form(
        ("unique", "distinct", "once_each"),
        'def $f($v):\n    """Each of $v once, in order."""\n    seen = []\n'
        "    for item in $v:\n        if item not in seen:\n            seen.append(item)\n    return seen\n",
        "v",
    ),
    Form(
        ("grade", "rank", "class_of"),
        'def $f($a):\n    """high from $m on, middle from $k on, else low."""\n    if $a >= $m:\n'
        '        return "high"\n    if $a >= $k:\n        return "middle"\n    return "low"\n',
        "a",
    ),
    Form(
        ("share", "percent", "part_of"),
        'def $f($a, $b):\n    """$a in percent of $b, and 0 where $b is 0."""\n'
        "    if $b == 0:\n        return 0\n    return $a * 100 // $b\n",
        "aa",
    ),
    Form(
        ("checked", "accept", "require"),
        'def $f($a):\n    """$a; a ValueError where it is below $k."""\n    if $a < $k:\n'
        '        raise ValueError("too small")\n    return $a\n',
        "a",
    ),
    Form(
        ("reduced", "discount", "rebate"),
        'def $f($a, $b):\n    """$a minus $k for each full $m of $b."""\n    return $a - $b // $m * $k\n',
        "aa",
    ),
    Form(
        ("best_few", "top", "leaders"),
        'def $f($v):\n    """The $k largest of $v, largest first."""\n    return sorted($v, reverse=True)[:$k]\n',
        "v",
    ),
    Form(
        ("shorten", "trimmed", "fit_text"),
        'def $f($t):\n    """$t, cut to $k letters."""\n    if len($t) > $k:\n        return $t[:$k]\n    return $t\n',
        "t",
    ),
    Form(
        ("tidy", "clean", "plain"),
        'def $f($t):\n    """$t in small letters, without spaces around it."""\n    return $t.strip().lower()\n',
        "t",
    ),
    Form(
        ("shout", "loud", "in_capitals"),
        'def $f($t):\n    """$t in capitals, with an exclamation mark."""\n    return $t.upper() + "!"\n',
        "t",
    ),
    Form(
        ("padded", "wide", "fill_up"),
        'def $f($t):\n    """$t, filled up with dots at its right to $m letters."""\n    return $t.ljust($m, ".")\n',
        "t",
    ),
    Form(
        ("tagged", "joined", "with_number"),
        'def $f($t, $a):\n    """$t and $a, with $s between them."""\n    return $t + "$s" + str($a)\n',
        "ta",
    ),
    Form(
        ("before_mark", "left_of", "key_of"),
        'def $f($t):\n    """What of $t stands before its first letter a."""\n    return $t.partition("a")[0]\n',
        "t",
    ),
    Form(
        ("joined_words", "in_one", "chain"),
        'def $f($w):\n    """$w in one text, with $s between them."""\n    return "$s".join($w)\n',
        "w",
    ),
    Form(
        ("long_words", "longer", "big_words"),
        'def $f($w):\n    """What of $w has over 4 letters."""\n    return [word for word in $w if len(word) > 4]\n',
        "w",
    ),
    Form(
        ("letters", "total_length", "length_of_all"),
        'def $f($w):\n    """The letters of $w, counted, and $k for each word."""\n    total = 0\n'
        "    for word in $w:\n        total += len(word) + $k\n    return total\n",
        "w",
    ),
    Form(
        ("starts_same", "same_start", "alike"),
        'def $f($t, $u):\n    """Whether $t starts with the first two letters of $u."""\n'
        "    return $t.startswith($u[:2])\n",
        "tt",
    ),
    Form(
        ("collect", "gather", "put"),
        'def $f($a, found=None):\n    """found, or a new list, with $a plus $k at its end."""\n    if found is None:\n'
        "        found = []\n    found.append($a + $k)\n    return found\n",
        "a",
        twice=True,
    ),
    Form(
        ("weighted", "mixed", "blend"),
        'def $f($a, $b):\n    """$k times $a plus $m times $b."""\n    return $k * $a + $m * $b\n',
        "aa",
    ),
    Form(
        ("larger_gap", "lead", "ahead"),
        'def $f($a, $b):\n    """By how much $a is above $b, or 0."""\n    if $a <= $b:\n'
        "        return 0\n    return $a - $b\n",
        "aa",
    ),
    Form(
        ("power_of", "raised", "level_up"),
        'def $f($a, $b):\n    """$a to the power of two, divided by $b plus 1, rounded down."""\n'
        "    return pow($a, 2) // (abs($b) + 1)\n",
        "aa",
    ),
)
