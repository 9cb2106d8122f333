"""Pairs of answers whose verdict is known by construction, judged by ttrl, Math-Verify and sympy.

    answers.py generate --pairs N --seed S > pairs.jsonl     {"answer","reference","category","equal"}
    answers.py others pairs.jsonl > others.jsonl             verdicts of Math-Verify (both ways) and sympy; minutes
    ttrl grade < pairs.jsonl > verdicts.jsonl
    answers.py judge pairs.jsonl verdicts.jsonl others.jsonl the tables of docs/answers.md; status 1 on a false positive

A pair is two spellings of values that this file chooses itself, so the truth does not come from any grader. Numbers are
sympy expressions; they are compared with 60 digits, at several points of their symbols. Structures are compared part by
part. Some rules are choices (percent, units and degree marks are ignored; brackets are ordered, braces and lists are
not); they are those of docs/answers.md. It is an error if ttrl has a false positive, or if a disagreement is in none of
the classes below.
"""

import argparse
import collections
import json
import logging
import random
import re
import sys
from fractions import Fraction

import sympy
from sympy import I, Rational, Symbol, pi, sqrt

X, Y, Z, N = (Symbol(name) for name in "xyzn")
POINTS = [
    {X: Rational(7, 5), Y: Rational(13, 8), Z: Rational(19, 11), N: Rational(17, 13)},
    {X: Rational(-9, 7), Y: Rational(11, 5), Z: Rational(-5, 3), N: Rational(-8, 3)},
    {X: Rational(-12, 5), Y: Rational(-15, 11), Z: Rational(16, 7), N: Rational(9, 4)},
]


# Values: ("number", expression) and structures of values.


def same_number(left, right):
    for point in POINTS:
        difference = sympy.N((left - right).subs(point), 60, maxn=400, chop=False)
        size = 1 + abs(sympy.N(left.subs(point), 20))
        if not abs(difference) < sympy.Float(10) ** -40 * size:
            return False
    return True


def same(left, right):
    """Whether two values are equal, by the rules of docs/answers.md."""
    if left[0] != right[0]:
        return False
    kind = left[0]
    if kind == "number":
        return same_number(left[1], right[1])
    if kind in ("words", "choice", "base"):
        return left[1] == right[1]
    if kind in ("tuple", "matrix", "interval"):
        ends = left[2:] == right[2:]
        return ends and len(left[1]) == len(right[1]) and all(map(same, left[1], right[1]))
    if kind in ("set", "list", "union"):
        if len(left[1]) != len(right[1]):
            return False
        rest = list(right[1])
        for element in left[1]:
            match = next((other for other in rest if same(element, other)), None)
            if match is None:
                return False
            rest.remove(match)
        return True
    if kind == "equation":  # equal up to a constant factor
        ratios = []
        for point in POINTS:
            below = sympy.N(right[1].subs(point), 50)
            if abs(below) < sympy.Float(10) ** -30:
                return False
            ratios.append(sympy.N(left[1].subs(point), 50) / below)
        return all(abs(ratio - ratios[0]) < sympy.Float(10) ** -30 for ratio in ratios)
    raise ValueError(kind)


class Writer:
    """Draws values and spells them."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, *options):
        return self.random.choice(options)

    def small(self, low=1, high=12):
        return self.random.randint(low, high)

    def nonzero(self, size=9):
        return self.pick(-1, 1) * self.small(1, size)

    # Numbers.

    def integer_text(self, value):
        sign, digits = ("-" if value < 0 else ""), str(abs(value))
        grouped = f"{abs(value):,}"
        forms = [digits, digits + ".0", digits + ".", "0" + digits, digits + ".000", f"{{{digits}}}", f"({digits})"]
        if abs(value) >= 1000:
            forms += [grouped, grouped.replace(",", "{,}"), grouped.replace(",", ",\\!"), grouped.replace(",", "\\,")]
        if value and value % 1000 == 0:
            forms += [
                f"{abs(value) // 1000} \\times 10^3",
                f"{abs(value) // 1000}e3",
                f"{abs(value) // 1000} \\cdot 10^{{3}}",
            ]
        return sign + self.pick(*forms)

    def fraction_text(self, value):
        """A fraction, in lowest terms or not, a mixed number, or a decimal that ends or repeats."""
        if value.denominator == 1:
            return self.integer_text(value.numerator)
        sign, size, k = ("-" if value < 0 else ""), abs(value), self.small(1, 4)
        p, q = size.numerator * k, size.denominator * k
        forms = [
            f"\\frac{{{p}}}{{{q}}}",
            f"\\dfrac{{{p}}}{{{q}}}",
            f"\\tfrac{{{p}}}{{{q}}}",
            f"{p}/{q}",
            f"({p})/({q})",
        ]
        if p < 10 and q < 10:
            forms += [f"\\frac{p}{q}", f"\\frac {p}{q}"]
        whole, rest = divmod(size.numerator, size.denominator)
        if whole and rest:
            forms += [f"{whole}\\frac{{{rest}}}{{{size.denominator}}}", f"{whole} {rest}/{size.denominator}"]
        places = next((n for n in range(1, 7) if 10**n % size.denominator == 0), None)
        if places:
            text = f"{size.numerator * 10**places // size.denominator:0{places + 1}d}"
            forms += [f"{text[:-places]}.{text[-places:]}", f"{text[:-places]}.{text[-places:]}0"]
        elif size.denominator in (3, 9, 11, 7):
            period = {3: 1, 9: 1, 11: 2, 7: 6}[size.denominator]
            text = f"{rest * (10**period - 1) // size.denominator:0{period}d}"
            forms += [f"{whole}.\\overline{{{text}}}"]
        if sign:
            forms.append(None)
        form = self.pick(*forms)
        return f"\\frac{{-{p}}}{{{q}}}" if form is None else sign + form

    def fraction(self):
        return Fraction(self.nonzero(40), self.small(1, 12))

    def surd_text(self, a, b, c):
        """a + b√c, where b is a fraction other than 0."""
        size, sign = abs(b), "-" if b < 0 else "+"
        p, q = size.numerator, size.denominator
        roots = [
            f"\\sqrt{{{c * p * p}}}" if q == 1 else f"\\frac{{\\sqrt{{{c * p * p}}}}}{{{q}}}",
            f"{p}\\sqrt{{{c}}}" if q == 1 else f"\\frac{{{p}\\sqrt{{{c}}}}}{{{q}}}",
            f"\\frac{{{p * c}}}{{{q if q > 1 else str()}\\sqrt{{{c}}}}}",
            f"\\sqrt{{\\frac{{{c * p * p}}}{{{q * q}}}}}",
            f"{p if q == 1 else self.plain(size)}\\cdot {c}^{{1/2}}",
        ]
        root = self.pick(*roots)
        if a == 0:
            return ("-" if b < 0 else "") + root
        whole = self.fraction_text(a)
        return self.pick(f"{whole}{sign}{root}", f"{'-' if b < 0 else ''}{root}{'' if whole[0] == '-' else '+'}{whole}")

    def plain(self, value):
        value = Fraction(value)
        if value.denominator == 1:
            return str(value.numerator)
        return ("-" if value < 0 else "") + f"\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"

    def sum_text(self, terms):
        """A sum of terms, with or without "-" in front, in any order."""
        terms = [term for term in terms if term]
        self.random.shuffle(terms)
        text = "".join(term if term[0] == "-" else "+" + term for term in terms)
        return (text[1:] if text[:1] == "+" else text) or "0"

    def polynomial_text(self, expression):
        """A polynomial: expanded in any order, factored by sympy, or partly factored."""
        form = self.pick("expanded", "expanded", "factored", "nested")
        if form == "factored":
            factored = sympy.factor(expression)
            if factored.is_Mul or factored.is_Pow:
                parts = list(sympy.Mul.make_args(factored))
                self.random.shuffle(parts)
                numbers = [part for part in parts if part.is_number]
                others = [part for part in parts if not part.is_number]
                text = "".join(self.factor_text(part) for part in others)
                scale = sympy.Mul(*numbers)
                front = "" if scale == 1 else "-" if scale == -1 else self.plain(Fraction(int(scale.p), int(scale.q)))
                return front + text
        terms = [self.term_text(term) for term in sympy.Add.make_args(sympy.expand(expression))]
        if form == "nested" and len(terms) > 2:
            return self.sum_text([f"({self.sum_text(terms[:2])})"] + terms[2:])
        return self.sum_text(terms)

    def factor_text(self, part):
        base, exponent = part.as_base_exp()
        if base.is_Symbol:
            inner = base.name
        else:
            inner = f"({self.sum_text([self.term_text(term) for term in sympy.Add.make_args(sympy.expand(base))])})"
        return inner if exponent == 1 else f"{inner}^{{{exponent}}}"

    def term_text(self, term):
        scale, rest = term.as_coeff_Mul()
        scale = Fraction(int(scale.p), int(scale.q))
        letters = [self.factor_text(part) for part in sympy.Mul.make_args(rest)] if rest != 1 else []
        self.random.shuffle(letters)
        text = "".join(letters)
        if not text:
            return self.plain(scale)
        sign = "-" if scale < 0 else ""
        if abs(scale) == 1:
            return sign + text
        if abs(scale).denominator > 1 and self.small() < 4:
            p, q = abs(scale).numerator, abs(scale).denominator
            front = "" if p == 1 else p
            return sign + f"\\frac{{{front}{text}}}{{{q}}}"
        return sign + self.plain(abs(scale)) + text


# Categories: each returns (value, spelling function); the same value can be spelled again.


def integers(w):
    value = w.pick(w.small(0, 200), w.random.randint(-(10**7), 10**7), 1000 * w.small(1, 900))
    return ("number", sympy.Integer(value)), lambda: w.integer_text(value)


def big_integers(w):
    k, n = w.small(2, 9), w.small(50, 120)
    value = sympy.Integer(k) ** n + w.pick(0, 0, 1)
    extra = "" if value == sympy.Integer(k) ** n else "+1"
    return ("number", value), lambda: w.pick(str(value), f"{k}^{{{n}}}{extra}", f"{k}\\cdot {k}^{{{n - 1}}}{extra}")


def factorials(w):
    n = w.small(3, 25)
    value = sympy.factorial(n)
    return ("number", value), lambda: w.pick(
        f"{n}!", str(value), f"{n}\\cdot {n - 1}!", f"\\binom{{{n}}}{{1}} \\cdot {n - 1}!"
    )


def fractions(w):
    value = w.fraction()
    return ("number", Rational(value.numerator, value.denominator)), lambda: w.fraction_text(value)


def decimals(w):
    places = w.small(1, 6)
    value = Fraction(w.random.randint(-(10**6), 10**6), 10**places)
    text = ("-" if value < 0 else "") + f"{abs(value.numerator) * (10**places // value.denominator):0{places + 1}d}"
    text = f"{text[:-places]}.{text[-places:]}"
    return ("number", Rational(value.numerator, value.denominator)), lambda: w.pick(
        text, text + "0", w.fraction_text(value), text.replace("0.", ".", 1) if text.startswith("0.") else text
    )


def rounded_decimals(w):
    """1/3 and 0.333: close, but never equal."""
    value = Fraction(w.small(1, 20), w.pick(3, 7, 9, 11, 13))
    places = w.small(2, 7)
    rounded = Fraction(round(value * 10**places), 10**places)
    chosen = w.pick(value, rounded)
    text = f"{float(rounded):.{places}f}"
    return ("number", Rational(chosen.numerator, chosen.denominator)), lambda: (
        text if chosen == rounded and rounded != value else w.plain(value)
    )


def surds(w):
    a, b, c = (
        w.pick(Fraction(0), w.fraction()),
        Fraction(w.nonzero(8), w.small(1, 6)),
        w.pick(2, 3, 5, 6, 7, 10, 11, 13),
    )
    value = Rational(a.numerator, a.denominator) + Rational(b.numerator, b.denominator) * sqrt(c)
    return ("number", value), lambda: w.surd_text(a, b, c)


def rationalized(w):
    a, b = w.small(2, 9), w.pick(2, 3, 5, 6, 7)
    value, norm = 1 / (a + sqrt(b)), a * a - b
    if norm == 0:
        a, value, norm = a + 1, 1 / (a + 1 + sqrt(b)), (a + 1) ** 2 - b
    return ("number", value), lambda: w.pick(
        f"\\frac{{1}}{{{a}+\\sqrt{{{b}}}}}",
        f"\\frac{{{a}-\\sqrt{{{b}}}}}{{{norm}}}",
        f"\\frac{{{a}}}{{{norm}}}-\\frac{{\\sqrt{b}}}{{{norm}}}",
        f"({a}+\\sqrt{{{b}}})^{{-1}}",
    )


def nested_roots(w):
    a, b = w.small(2, 9), w.small(1, 8)
    if a == b:
        a += 1
    sign = w.pick(1, -1)
    big, little = max(a, b), min(a, b)
    value = sqrt(big) + sign * sqrt(little)
    s = "+" if sign > 0 else "-"
    return ("number", value), lambda: w.pick(
        f"\\sqrt{{{a + b}{s}2\\sqrt{{{a * b}}}}}",
        f"\\sqrt{{{big}}}{s}\\sqrt{{{little}}}",
        f"\\sqrt{{{a + b}{s}\\sqrt{{{4 * a * b}}}}}",
    )


def root_of_sums(w):
    a, b = w.small(2, 6), w.pick(2, 3, 5)
    value = 1 / sqrt(a + sqrt(b))
    return ("number", value), lambda: w.pick(
        f"\\frac{{1}}{{\\sqrt{{{a}+\\sqrt{{{b}}}}}}}",
        f"\\frac{{\\sqrt{{{a}+\\sqrt{{{b}}}}}}}{{{a}+\\sqrt{{{b}}}}}",
        f"\\sqrt{{\\frac{{1}}{{{a}+\\sqrt{{{b}}}}}}}",
    )


def rational_powers(w):
    base, p, q = w.pick(2, 3, 5, 6, 7), w.small(1, 5), w.pick(2, 3, 4, 5)
    value = sympy.Integer(base) ** Rational(p, q)
    whole, rest = divmod(p, q)
    return ("number", value), lambda: w.pick(
        f"{base}^{{{p}/{q}}}",
        f"{base}^{{\\frac{{{p}}}{{{q}}}}}",
        f"\\sqrt[{q}]{{{base ** p}}}",
        f"{base ** whole}\\sqrt[{q}]{{{base ** rest}}}",
        f"\\sqrt[{2 * q}]{{{base ** (2 * p)}}}",
        f"({base}^{{{p}}})^{{1/{q}}}",
    )


def pi_and_e(w):
    a, b, c = w.fraction(), w.fraction(), w.pick(pi, sympy.E)
    name = "\\pi" if c == pi else "e"
    value = Rational(a.numerator, a.denominator) + Rational(b.numerator, b.denominator) * c
    size = abs(b)

    def multiple():
        p, q = size.numerator, size.denominator
        text = (
            w.pick(f"\\frac{{{p}{name}}}{{{q}}}", f"\\frac{{{p}}}{{{q}}}{name}", f"{p}{name}/{q}")
            if q > 1
            else f"{p}{name}"
        )
        return ("-" if b < 0 else "") + text

    # Not `12e+19`: that is a number in scientific notation.
    return ("number", value), lambda: w.sum_text([w.plain(a), multiple()]).replace("e+", "e +")


def complex_numbers(w):
    a, b = w.nonzero(), w.nonzero()
    c, d = w.small(1, 5), w.nonzero(5)
    value = a + b * I
    product = sympy.expand(value * (c + d * I))
    p, q = sympy.re(product), sympy.im(product)

    def number(p, q):
        imaginary = ("-" if q < 0 else "") + ("" if abs(q) == 1 else str(abs(q))) + "i"
        return w.sum_text(([str(p)] if p else []) + ([imaginary] if q else []))

    return ("number", value), lambda: w.pick(
        number(a, b),
        number(a, b),
        f"\\frac{{{number(p, q)}}}{{{number(c, d)}}}",
        f"{b}i{a:+d}",
        f"{a}{b:+d}\\sqrt{{-1}}",
    )


def polynomials(w):
    factors = [
        w.nonzero(5) * w.pick(X, X**2, Y, X * Y, Z) + w.nonzero(7) * w.pick(1, X, Y) for _ in range(w.small(1, 3))
    ]
    value = sympy.expand(sympy.Mul(*factors)) / w.pick(1, 1, 2, 3)
    return ("number", value), lambda: w.polynomial_text(value)


def rational_functions(w):
    top, bottom = w.nonzero(5) * X + w.nonzero(7), w.small(1, 4) * X + w.nonzero(7)
    value = top / bottom
    common = X + w.small(1, 9)
    whole = Rational(top.coeff(X, 1), bottom.coeff(X, 1))
    rest = sympy.expand(top - whole * bottom)
    return ("number", value), lambda: w.pick(
        f"\\frac{{{w.polynomial_text(top)}}}{{{w.polynomial_text(bottom)}}}",
        f"\\frac{{{w.polynomial_text(sympy.expand(top * common))}}}{{{w.polynomial_text(sympy.expand(bottom * common))}}}",
        f"({w.polynomial_text(top)})/({w.polynomial_text(bottom)})",
        w.sum_text(
            [
                w.plain(Fraction(int(whole.p), int(whole.q))) if whole else "",
                (
                    (
                        ("-" if rest < 0 else "")
                        + f"\\frac{{{w.plain(Fraction(int(abs(rest).p), int(abs(rest).q)))}}}"
                        + "{"
                        + w.polynomial_text(bottom)
                        + "}"
                    )
                    if rest
                    else ""
                ),
            ]
        ),
    )


def roots_with_symbols(w):
    c, k = w.small(1, 5), w.pick("square", "cube", "sum", "times")
    if k == "square":
        return ("number", c * sqrt(X**2)), lambda: w.pick(f"{c}\\sqrt{{x^2}}", f"\\sqrt{{{c * c}x^2}}", f"{c}|x|")
    if k == "cube":
        return ("number", c * X * sqrt(X)), lambda: w.pick(
            f"{c}x\\sqrt{{x}}", f"\\sqrt{{{c * c}}}\\cdot x^{{3/2}}", f"{c}x^{{\\frac32}}"
        )
    if k == "sum":
        return ("number", 1 / sqrt(X**2 + c)), lambda: w.pick(
            f"\\frac{{1}}{{\\sqrt{{x^2+{c}}}}}", f"\\frac{{\\sqrt{{x^2+{c}}}}}{{x^2+{c}}}", f"(x^2+{c})^{{-1/2}}"
        )
    return ("number", c * X), lambda: w.pick(f"{c}x", f"\\frac{{{2 * c}x}}{{2}}", f"x\\sqrt{{{c * c}}}")


def trigonometry(w):
    k = w.pick("square", "double", "angle", "tangent", "sum")
    if k == "square":
        return ("number", sympy.Integer(1)), lambda: w.pick(
            "\\sin^2 x+\\cos^2 x", "1", "\\cos^2(x)+\\sin^2(x)", "\\sec^2 x-\\tan^2 x"
        )
    if k == "double":
        return ("number", sympy.sin(2 * X)), lambda: w.pick(
            "\\sin 2x", "2\\sin x\\cos x", "\\sin(2x)", "2\\cos(x)\\sin(x)"
        )
    if k == "tangent":
        return ("number", sympy.tan(X)), lambda: w.pick("\\tan x", "\\frac{\\sin x}{\\cos x}", "\\frac{1}{\\cot x}")
    if k == "sum":
        return ("number", sympy.cos(X + Y)), lambda: w.pick("\\cos(x+y)", "\\cos x\\cos y-\\sin x\\sin y", "\\cos(y+x)")
    n, q = w.small(1, 11), w.pick(6, 4, 3, 12, 5, 8)
    value = sympy.cos(n * pi / q)
    exact = (
        sympy.latex(sympy.nsimplify(sympy.expand(sympy.sqrtdenest(sympy.radsimp(value.rewrite(sqrt))))))
        if q != 8
        else None
    )
    return ("number", value), lambda: w.pick(
        f"\\cos\\frac{{{n}\\pi}}{{{q}}}",
        f"\\cos\\left(\\frac{{{2 * n}\\pi}}{{{2 * q}}}\\right)",
        f"\\sin\\left(\\frac{{\\pi}}{{2}}-\\frac{{{n}\\pi}}{{{q}}}\\right)",
        *([exact] if exact and "cos" not in exact and "sin" not in exact else []),
    )


def logarithms(w):
    a, b = w.pick(2, 3, 5), w.small(2, 5)
    k = w.pick("ln", "base", "power", "e")
    if k == "ln":
        return ("number", b * sympy.log(a)), lambda: w.pick(
            f"{b}\\ln {a}", f"\\ln {a ** b}", f"\\ln({a}^{{{b}}})", f"-\\ln\\frac{{1}}{{{a ** b}}}"
        )
    if k == "base":
        return ("number", Rational(b, 2)), lambda: w.pick(
            f"\\log_{{{a * a}}} {a ** b}", f"\\frac{{{b}}}{{2}}", f"\\frac{{\\ln {a ** b}}}{{\\ln {a * a}}}"
        )
    if k == "power":
        return ("number", sympy.Integer(a) ** (N + b)), lambda: w.pick(
            f"{a}^{{n+{b}}}", f"{a ** b}\\cdot {a}^n", f"{a}^{{n}}\\cdot {a}^{{{b}}}"
        )
    return ("number", sympy.E**b), lambda: w.pick(
        f"e^{{{b}}}", f"e\\cdot e^{{{b - 1}}}", f"\\exp({b})", f"(e^{{-1}})^{{-{b}}}"
    )


SCALARS = [integers, fractions, decimals, surds, pi_and_e, complex_numbers, polynomials]
PLAIN = [integers, fractions, surds, polynomials]


def parts(w, low, high, sources=PLAIN, distinct=True):
    made = []
    count = w.small(low, high)
    while len(made) < count:
        value, spell = w.pick(*sources)(w)
        if not distinct or all(not same(value, other) for other, _ in made):
            made.append((value, spell))
    return made


def spelled(w, made, separator=", "):
    texts = []
    for _, spell in made:
        text = spell()
        texts.append(text.replace("{,}", "").replace(",\\!", "").replace("\\,", "").replace(",", "").rstrip("."))
    return separator.join(texts)


def tuples(w):
    made = parts(w, 2, 3, distinct=False)
    return ("tuple", [value for value, _ in made]), lambda: w.pick("({})", "\\left({}\\right)", "( {} )").format(
        spelled(w, made)
    )


def intervals(w):
    low = w.nonzero(9)
    high = low + w.small(1, 9)
    left, right = w.pick("(", "["), w.pick(")", "]")
    ends = [("number", sympy.Integer(low)), ("number", sympy.Integer(high))]

    def spell():
        form = w.pick("plain", "plain", "chain", "in")
        text = f"{left}{low}, {w.plain(high)}{right}"
        if form == "chain":
            signs = ["<" if left == "(" else w.pick("\\le", "\\leq"), "<" if right == ")" else "\\le"]
            return f"{low} {signs[0]} x {signs[1]} {high}"
        if form == "in":
            return f"x \\in {text}"
        return w.pick(text, f"\\left{left}{low},{high}\\right{right}")

    # An open interval is written like a pair. A grader that sees only the answer cannot distinguish the two.
    return (("tuple", ends) if (left, right) == ("(", ")") else ("interval", ends, left, right)), spell


def rays(w):
    bound, closed, upward = w.fraction(), w.pick(True, False), w.pick(True, False)
    text = w.plain(bound)
    value = ("interval", [("number", Rational(bound.numerator, bound.denominator))], closed, upward)

    less, more = ("\\le", "\\ge") if closed else ("<", ">")

    def spell():
        if upward:
            end = ("[" if closed else "(") + text + w.pick(",\\infty)", ", +\\infty)")
            return w.pick(end, f"x {more} {text}", f"{text} {less} x", f"x\\in {end}")
        end = "(-\\infty," + text + ("]" if closed else ")")
        return w.pick(end, f"x {less} {text}", f"{text} {more} x")

    return value, spell


def sets(w):
    made = parts(w, 2, 4)

    def spell():
        shuffled = w.random.sample(made, len(made))
        if w.small() < 3:
            shuffled.append(shuffled[0])
        return f"\\{{{spelled(w, shuffled)}\\}}"

    return ("set", [value for value, _ in made]), spell


def lists(w):
    made = parts(w, 2, 3)
    return ("set", [value for value, _ in made]), lambda: spelled(
        w, w.random.sample(made, len(made)), w.pick(", ", "; ", " \\text{ or } ", " \\text{ and } ")
    )


def plus_minus(w):
    a, b = w.pick(0, w.nonzero(9)), w.pick((sqrt(2), "\\sqrt{2}"), (sqrt(19), "\\sqrt{19}"), (sympy.Integer(3), "3"))
    front = str(a) if a else ""
    value = ("set", [("number", a + b[0]), ("number", a - b[0])])
    added = front + "+" if front else ""
    return value, lambda: w.pick(
        f"{front}\\pm {b[1]}",
        f"{added}{b[1]}, {front}-{b[1]}",
        f"x={front}\\pm{b[1]}",
        f"\\{{{front}-{b[1]}, {added}{b[1]}\\}}",
    )


def unions(w):
    cuts = sorted(w.random.sample(range(-20, 20), 4))
    marks = [w.pick("(", "["), w.pick(")", "]"), w.pick("(", "["), w.pick(")", "]")]
    pieces = [f"{marks[0]}{cuts[0]},{cuts[1]}{marks[1]}", f"{marks[2]}{cuts[2]},{cuts[3]}{marks[3]}"]
    value = ("union", [("words", piece) for piece in pieces])
    return value, lambda: w.pick("{} \\cup {}", "{}\\cup{}", "x \\in {} \\cup {}").format(*w.random.sample(pieces, 2))


def matrices(w):
    rows, columns = w.small(1, 3), w.small(2, 3)
    entries = [[fractions(w) for _ in range(columns)] for _ in range(rows)]
    flat = [entry[0] for row in entries for entry in row]

    def spell():
        name = w.pick("pmatrix", "bmatrix")
        body = " \\\\ ".join(spelled(w, row, " & ") for row in entries)
        return f"\\begin{{{name}}} {body} \\end{{{name}}}"

    return ("matrix", flat, rows, columns), spell


def units(w):
    value = w.fraction()
    unit = w.pick(
        "\\text{ cm}",
        "\\text{ hours}",
        "\\text{ m}^2",
        "\\,\\mathrm{m/s}",
        "\\text{ dollars}",
        "\\text{ square units}",
        " \\text{ km/h}",
    )
    return ("number", Rational(value.numerator, value.denominator)), lambda: w.pick(
        w.fraction_text(value).rstrip(".") + unit, w.fraction_text(value)
    )


def percents(w):
    value = w.random.randint(1, 400) * Fraction(1, w.pick(1, 1, 4))
    text = w.plain(value) if value.denominator == 1 else f"{float(value)}"
    return ("number", Rational(value.numerator, value.denominator)), lambda: w.pick(text + "\\%", text, text + "%")


def degrees(w):
    value = w.small(1, 360)
    return ("number", sympy.Integer(value)), lambda: w.pick(
        f"{value}^\\circ", f"{value}", f"{value}^{{\\circ}}", f"{value}\\text{{ degrees}}"
    )


def money(w):
    value = w.random.randint(1, 9000)
    return ("number", sympy.Integer(value)), lambda: w.pick(
        f"\\${value:,}", f"{value}", f"\\${value}.00", f"\\${value}"
    )


def solved(w):
    value, spell = w.pick(integers, fractions, surds)(w)
    return value, lambda: w.pick("x = {}", "y={}", "{}", "f(x) = {}", "x_1 = {}").format(spell())


def equations(w):
    a, b, c = w.nonzero(6), w.nonzero(6), w.nonzero(20)
    value = a * X + b * Y + c

    def spell():
        k = w.nonzero(4)
        left = w.sum_text([w.term_text(k * a * X), w.term_text(k * b * Y)])
        return w.pick(
            f"{left} = {-k * c}",
            f"{w.sum_text([w.term_text(k * a * X), w.term_text(k * b * Y), str(k * c)])} = 0",
            f"{w.term_text(2 * k * a * X)} = {w.sum_text([w.term_text(-2 * k * b * Y), str(-2 * k * c)])}",
        )

    return ("equation", value), spell


def curves(w):
    a, b, r = w.nonzero(6), w.nonzero(6), w.small(1, 9)
    value = (X - a) ** 2 + (Y - b) ** 2 - r * r
    return ("equation", value), lambda: w.pick(
        f"(x{-a:+d})^2+(y{-b:+d})^2={r * r}",
        f"x^2+y^2{-2 * a:+d}x{-2 * b:+d}y={r * r - a * a - b * b}",
        (
            f"x^2{-2 * a:+d}x+y^2{-2 * b:+d}y{a * a + b * b - r * r:+d}=0"
            if a * a + b * b != r * r
            else f"(x{-a:+d})^2+(y{-b:+d})^2={r * r}"
        ),
    )


def words(w):
    word = w.pick("east", "west", "even", "odd", "Monday", "ellipse", "circle", "no solution", "Evelyn", "parabola")
    return ("words", word.lower()), lambda: w.pick(
        f"\\text{{{word}}}",
        f"\\mathrm{{{word}}}" if " " not in word else f"\\text{{{word}}}",
        word if " " not in word else f"\\text{{{word}}}",
        f"\\textbf{{{word}}}",
    )


def choices(w):
    letter = w.pick(*"ABCDE")
    return ("choice", letter), lambda: w.pick(
        letter, f"({letter})", f"\\text{{({letter})}}", f"\\textbf{{({letter})}}", f"\\text{{{letter}}}"
    )


def bases(w):
    base, digits = w.pick(2, 3, 5, 8), "".join(w.pick("0", "1") for _ in range(w.small(3, 7)))
    digits = "1" + digits
    return ("base", (digits, base)), lambda: w.pick(f"{digits}_{base}", f"{digits}_{{{base}}}")


CATEGORIES = [
    integers,
    big_integers,
    factorials,
    fractions,
    decimals,
    rounded_decimals,
    surds,
    rationalized,
    nested_roots,
    root_of_sums,
    rational_powers,
    pi_and_e,
    complex_numbers,
    polynomials,
    rational_functions,
    roots_with_symbols,
    trigonometry,
    logarithms,
    tuples,
    intervals,
    rays,
    sets,
    lists,
    plus_minus,
    unions,
    matrices,
    units,
    percents,
    degrees,
    money,
    solved,
    equations,
    curves,
    words,
    choices,
    bases,
]


def generate(pairs, seed):
    """Four pairs per category: one equal by construction, two of values drawn separately, one with another category."""
    w = Writer(seed)
    count = 0
    while count < pairs:
        for category in CATEGORIES:
            value, spell = category(w)
            name = category.__name__
            made = [(name, spell(), spell(), True)]
            for attempt in range(2):
                other, respell = category(w)
                if (
                    name in ("integers", "fractions", "surds", "decimals", "polynomials")
                    and attempt
                    and value[0] == "number"
                ):
                    # A value that is almost equal.
                    other = ("number", value[1] + w.pick(1, -1, Rational(1, 1000)))
                    if other[1].is_Rational:
                        exact = Fraction(int(other[1].p), int(other[1].q))
                        respell = lambda exact=exact: w.fraction_text(exact)
                    else:
                        respell = lambda other=other: sympy.latex(other[1])
                made.append((name, spell(), respell(), same(value, other)))
            foreign = w.pick(*CATEGORIES)
            other, respell = foreign(w)
            if not ambiguous(name, foreign.__name__):
                made.append(("one of each", spell(), respell(), same(value, other)))
            for name, answer, reference, equal in made:
                if w.small() < 3:
                    answer = f"${answer}$"
                print(json.dumps({"category": name, "answer": answer, "reference": reference, "equal": bool(equal)}))
                count += 1


def ambiguous(left, right):
    """Whether the equality of two categories depends on rules that this file does not know."""
    return {left, right} <= {"choices", "words", "bases"} or "solved" in (left, right) and "equations" in (left, right)


# The other judges.


def latex_value(text):
    from latex2sympy2_extended import latex2sympy

    return latex2sympy(text.strip().strip("$"))


def sympy_verdict(left, right):
    """True, False, or None if sympy does not read both sides as numbers."""
    try:
        left, right = latex_value(left), latex_value(right)
        if not isinstance(left, sympy.Expr) or not isinstance(right, sympy.Expr):
            return None
        return bool(sympy.simplify(left - right) == 0)
    except BaseException:
        return None


def others(line):
    logging.disable(logging.CRITICAL)
    import signal

    from math_verify import parse, verify

    def read(text):
        text = text if text.startswith("$") else f"${text}$"
        return parse(text, parsing_timeout=5)

    try:
        gold, given = read(line["reference"]), read(line["answer"])
        forward, backward = verify(gold, given, timeout_seconds=5), verify(given, gold, timeout_seconds=5)
        read_both = bool(gold) and bool(given)
    except Exception:
        forward = backward = read_both = False

    def late(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    signal.alarm(10)
    try:
        exact = sympy_verdict(line["answer"], line["reference"])
    finally:
        signal.alarm(0)
    return forward, backward, read_both, exact


SPELLINGS = [
    (r"\\overline", "a repeating decimal is not read"),
    (r"\d \d+/\d", "a mixed number `2 1/3` is not read"),
    (r"\d\\,\d", "digits grouped by a thin space are not read"),
    (r"\d,\\!\d|\{,\}", "digits grouped in LaTeX's way are not read"),
    (r"(^|[^\d.])0\d", "a leading zero is not read"),
    (r"\d\.(\D|$)", "a number that ends in a point is not read"),
    (r"\{\d+\}", "braces around a number are not read"),
    (r"\d\.0+(\D|$)", "a decimal is not regarded as equal to its integer"),
]
CAUSES = {
    "percents": "it reads the percent sign as a hundredth; ttrl ignores it",
    "degrees": "it reads the degree mark as π/180; ttrl ignores it",
    "rounded_decimals": "it regards a rounded decimal as equal to its fraction",
    "complex_numbers": "it does not simplify a quotient of complex numbers",
    "choices": "it reads letters and words as symbols, or not at all",
    "words": "it reads letters and words as symbols, or not at all",
    "units": "it reads a unit as a factor; ttrl ignores it",
    "money": "it does not read currency, or the grouped digits",
    "lists": "it regards the order of a list, or its joining words, as part of the answer",
    "sets": "it regards repetition in a set as part of the answer",
    "solved": "it regards the name of the unknown as part of the answer",
    "equations": "it compares equations as they are written",
    "curves": "it compares equations as they are written",
    "intervals": "it does not regard an inequality as equal to its interval",
    "rays": "it does not regard an inequality as equal to its interval",
    "roots_with_symbols": "it reads a symbol as a complex number; for ttrl it is real",
}


def reason(line, mine, judge):
    """The class of a disagreement between ttrl's verdict, `mine`, and that of another judge."""
    category, truth = line["category"], line["equal"]
    if mine != truth:
        return f"ttrl {'misses' if truth else 'MERGES'}: {category.replace('_', ' ')}"
    if not truth:
        return f"{judge} merges: " + CAUSES.get(category, category.replace("_", " "))
    both = line["answer"] + " ; " + line["reference"]
    cause = CAUSES.get(category) or next((name for pattern, name in SPELLINGS if re.search(pattern, both)), None)
    return f"{judge} misses: " + (cause or "UNEXPLAINED " + category.replace("_", " "))


def judge(pairs_path, verdicts_path, others_path):
    lines, ours, theirs = (
        [json.loads(text) for text in open(path)] for path in (pairs_path, verdicts_path, others_path)
    )
    assert len(lines) == len(ours) == len(theirs), f"{len(lines)} pairs, {len(ours)} and {len(theirs)} verdicts"
    classes, examples, totals = collections.Counter(), {}, collections.Counter()
    by_category = collections.defaultdict(collections.Counter)
    false_positives = []

    def classify(name, line):
        classes[name] += 1
        examples.setdefault(name, (line["answer"], line["reference"]))

    for line, own, (forward, backward, read, exact) in zip(lines, ours, theirs):
        mine, truth = own["equivalent"], line["equal"]
        row = by_category[line["category"]]
        for counted in (row, totals):
            counted.update(
                {
                    "pairs": 1,
                    "equal": truth,
                    "ttrl": mine == truth,
                    "Math-Verify": forward == truth,
                    "sympy": exact == truth,
                    "sympy read": exact is not None,
                    "exchanged": forward != backward,
                }
            )
        if mine and not truth:
            false_positives.append(line)
        for name, verdict in (("Math-Verify", forward), ("sympy", exact)):
            if verdict is not None and verdict != mine:
                totals[name + " disagrees"] += 1
                classify(reason(line, mine, name), line)
        if mine != truth and forward == mine and exact in (None, mine):
            classify(reason(line, mine, "") + " (and so do the others)", line)
    report(totals, by_category, classes, examples, false_positives)
    return 1 if false_positives or any("UNEXPLAINED" in name for name in classes) else 0


def report(totals, by_category, classes, examples, false_positives):
    print(
        f"{totals['pairs']} pairs, {totals['equal']} of them equal. Right: ttrl {totals['ttrl']}, Math-Verify "
        f"{totals['Math-Verify']}, sympy {totals['sympy']} of the {totals['sympy read']} that it reads. False positives of "
        f"ttrl: {len(false_positives)}. If the sides are exchanged, Math-Verify decides differently on {totals['exchanged']}.\n"
    )
    print(
        "| category | pairs | equal | ttrl right | Math-Verify right | sympy right, of those read |\n|---|---|---|---|---|---|"
    )
    for name, row in by_category.items():
        print(
            f"| {name.replace('_', ' ')} | {row['pairs']} | {row['equal']} | {row['ttrl']} | {row['Math-Verify']} | "
            f"{row['sympy']} of {row['sympy read']} |"
        )
    print("\n| class of disagreement | pairs | example |\n|---|---|---|")
    for name, count in sorted(classes.items(), key=lambda item: (-item[1], item[0])):
        left, right = (text.replace("|", "\\|") for text in examples[name])
        print(f"| {name} | {count} | `{left}` and `{right}` |")
    for line in false_positives:
        print(f"\nFALSE POSITIVE: {line}")


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("generate")
    making.add_argument("--pairs", type=int, default=6000)
    making.add_argument("--seed", type=int, default=1)
    asking = commands.add_parser("others")
    asking.add_argument("pairs")
    judging = commands.add_parser("judge")
    for name in ("pairs", "verdicts", "others"):
        judging.add_argument(name)
    options = parser.parse_args()
    if options.command == "generate":
        generate(options.pairs, options.seed)
        return 0
    if options.command == "others":
        for text in open(options.pairs):
            print(json.dumps(others(json.loads(text))), flush=True)
        return 0
    return judge(options.pairs, options.verdicts, options.others)


if __name__ == "__main__":
    sys.exit(main())
