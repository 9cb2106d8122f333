"""The question sets of scripts/real-model: graded arithmetic and word problems in English, made from a seed.

A kind is a form of question, a grade is the size of its numbers. Training and held-out questions have the same kinds
with other numbers; transfer questions have other kinds. No two questions of all sets have the same kind and the same
numbers, in any order, and none is an example of the prompt. The sets are the same bytes for every version of Python:
only `random()` is used, which is stable.
"""

import json
import random
import re

NAMES = "Anna Ben Clara Dan Emma Finn Grace Hugo Ida Jack Kate Leo Mia Noah Olga Paul Rosa Sam Tina Vera".split()
THINGS = "apples beads books cards coins eggs flowers marbles pears pens shells stamps stickers".split()
# The largest summand, and the largest two factors, of a question of each grade.
SUMMANDS = (20, 50)
FACTORS = ((9, 12), (9, 25))

# The example that comes before each question, in the form in which the model shall answer. The vote needs "the answer
# is" (docs/answers.md). The text before it is the room to reason. There is one example only, of a sum: the base model
# then adds in many questions where it should multiply or divide, and rambles at temperature 1; so there is something to
# learn that is not arithmetic. Examples with two steps make it add a second step to every answer.
EXAMPLES = [
    ("Eva has 13 cups and gets 8 more. How many cups does Eva have now?", "13 + 8 = 21. The answer is 21."),
]
FORM = "Question: {}\nWork:"
TEMPLATE = "".join(f"{FORM.format(*example)} {example[1]}\n" for example in EXAMPLES) + FORM.format("{question}")


class Draw:
    """Random choices."""

    def __init__(self, seed):
        self.random = random.Random(seed).random

    def number(self, low, high):
        return low + int(self.random() * (high - low + 1))

    def of(self, items):
        return items[self.number(0, len(items) - 1)]

    def names(self, count):
        names = list(NAMES)
        return [names.pop(self.number(0, len(names) - 1)) for _ in range(count)]


# Each kind gets the random choices and a grade, and returns the question's text, its numbers and its answer.


def summand(draw, grade):
    return draw.number(4, SUMMANDS[grade - 1])


def falling(draw, grade):
    """Two numbers, the first of them larger."""
    a, b = summand(draw, grade), summand(draw, grade)
    return (a, b) if a > b else (b, a) if b > a else (a + 2, b)


def factors(draw, grade):
    return tuple(draw.number(2, most) for most in FACTORS[grade - 1])


def plus(draw, grade):
    a, b = summand(draw, grade), summand(draw, grade)
    return f"{a} + {b}", (a, b), a + b


def minus(draw, grade):
    a, b = falling(draw, grade)
    return f"{a} - {b}", (a, b), a - b


def times(draw, grade):
    a, b = factors(draw, grade)
    return f"{a} * {b}", (a, b), a * b


def three(draw, grade):
    a, b, c = (summand(draw, grade) for _ in range(3))
    return f"{a} + {b} + {c}", (a, b, c), a + b + c


def gain(draw, grade):
    (name,), things = draw.names(1), draw.of(THINGS)
    a, b = summand(draw, grade), summand(draw, grade)
    return f"{name} has {a} {things} and gets {b} more. How many {things} does {name} have now?", (a, b), a + b


def lose(draw, grade):
    (name,), things, (a, b) = draw.names(1), draw.of(THINGS), falling(draw, grade)
    return f"{name} has {a} {things} and gives away {b}. How many {things} are left?", (a, b), a - b


def boxes(draw, grade):
    (name,), things, (a, b) = draw.names(1), draw.of(THINGS), factors(draw, grade)
    return f"{name} fills {a} boxes with {b} {things} each. How many {things} is that in all?", (a, b), a * b


def pay(draw, grade):
    (name,), things, (a, b), c = draw.names(1), draw.of(THINGS), factors(draw, grade), summand(draw, grade)
    text = f"{name} buys {a} {things} for {b} dollars each and a bag for {c} dollars. How much does {name} pay?"
    return text, (a, b, c), a * b + c


def compare(draw, grade):
    (one, other), things, (a, b) = draw.names(2), draw.of(THINGS), falling(draw, grade)
    text = f"{one} has {a} {things} and {other} has {b}. How many more {things} does {one} have than {other}?"
    return text, (a, b), a - b


def earlier(draw, grade):
    (name,), things, (a, b) = draw.names(1), draw.of(THINGS), falling(draw, grade)
    text = f"{name} got {b} {things} and has {a} now. How many {things} did {name} have before?"
    return text, (a, b), a - b


def together(draw, grade):
    (one, two, other), things = draw.names(3), draw.of(THINGS)
    a, b, c = (summand(draw, grade) for _ in range(3))
    text = f"{one} has {a} {things}, {two} has {b} and {other} has {c}. How many {things} do they have together?"
    return text, (a, b, c), a + b + c


def share(draw, grade):
    (name,), things, (a, b) = draw.names(1), draw.of(THINGS), factors(draw, grade)
    text = f"{name} shares {a * b} {things} equally among {a} friends. How many {things} does each friend get?"
    return text, (a, b), b


# Kinds that the base model can do at least sometimes: where nearly every majority is wrong, the vote teaches the wrong
# answer (docs/real.md, "What was tried").
TAUGHT = [(kind, grade) for grade in (1, 2) for kind in (plus, gain, times, boxes, share)]
OTHER = [(kind, grade) for grade in (1, 2) for kind in (minus, lose, compare, earlier, together, pay, three)]


def key(kind, numbers):
    return (kind.__name__, *sorted(numbers))


def sets(train, test, seed=1):
    """Training, held-out and transfer questions: lists of objects in the form of a question file.

    - train, test: the number of training questions; of held-out, and of transfer questions.
    """
    draw = Draw(f"real-model {seed}")
    seen = {tuple(sorted(map(int, re.findall(r"\d+", question)))) for question, _ in EXAMPLES}
    result = {}
    # The small sets first: so they are the same for every number of training questions.
    for name, forms, count in [("held-out", TAUGHT, test), ("transfer", OTHER, test), ("train", TAUGHT, train)]:
        questions = result[name] = []
        misses = 0
        while len(questions) < count:
            kind, grade = forms[len(questions) % len(forms)]
            text, numbers, answer = kind(draw, grade)
            if key(kind, numbers) in seen or tuple(sorted(numbers)) in seen:
                misses += 1
                if misses > 100 * count:
                    raise ValueError(f"{kind.__name__}, grade {grade}, has too few different questions for {count}")
                continue
            seen.add(key(kind, numbers))
            identity = f"{name}-{len(questions)}-{kind.__name__}-{grade}"
            questions.append({"id": identity, "prompt": text, "answer": str(answer)})
    return {name: result[name] for name in ("train", "held-out", "transfer")}


def text_of(questions):
    return "".join(json.dumps(question) + "\n" for question in questions)


def kind_of(identity):
    """The kind in a question's id, without its grade."""
    return identity.split("-")[-2]


def grade_of(identity):
    return int(identity.split("-")[-1])
