"""Answer tables of other graders, judged by ttrl.

    tables.py --ttrl .build/release/ttrl FOLDER...      the tables of docs/answers.md; status 1 on a false positive

A FOLDER is a checkout of another grader. Its tests hold pairs of answers with a verdict. They are read with Python's
parser, not run and not copied: the classes below name a pair by a hash of it. Three forms of tests are known:

    @pytest.mark.parametrize("gold,pred,expected", [("1/2", "0.5", 1), ...])       texts of responses
    @pytest.mark.parametrize("output_pair", [("1/2", 0.5), ...])                   equal, if the test is not "incorrect"
    test_in = "1/2"; test_out = "0.5"; self.assertTrue(is_equiv(test_in, test_out))

A text of the first form can be a whole response. Then ttrl finds its answer; if it states none by ttrl's rules, its
last formula is taken, because the test is about the grader and not about the search.

Each disagreement belongs to a class: right here, right there, or convention (both are consistent with their own rules).
It is an error if ttrl says "equal" where the table says "not" and ttrl is not right by a named rule, or if a
disagreement has no class.
"""

import argparse
import ast
import collections
import hashlib
import json
import pathlib
import re
import subprocess
import sys

# Reading tables.


def constant(node, names):
    """The value of an expression of constants; KeyError or ValueError if it is none."""
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, (ast.Tuple, ast.List)):
        return [constant(element, names) for element in node.elts]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return constant(node.left, names) / constant(node.right, names)
    return ast.literal_eval(node)


def parametrized(function):
    """The rows of a test's decorators."""
    for decorator in function.decorator_list:
        if not (isinstance(decorator, ast.Call) and getattr(decorator.func, "attr", "") == "parametrize"):
            continue
        names = [name.strip() for name in str(constant(decorator.args[0], {})).split(",")]
        if not isinstance(decorator.args[1], ast.List):
            continue
        for element in decorator.args[1].elts:
            try:
                row = constant(element, {})
            except (KeyError, ValueError):
                continue
            if names == ["output_pair"]:
                yield row[0], row[1], "incorrect" not in function.name, False
                continue
            # A test of one parameter has rows that are no lists.
            fields = dict(zip(names, row if isinstance(row, (list, tuple)) else [row]))
            verdict = fields.get("expected", fields.get("result"))
            # Looser modes of a grader claim nothing about answers.
            if "gold" in fields and "pred" in fields and verdict in (0, 1) and fields.get("strict", True):
                if not fields.get("allow_set_relation_comp"):
                    yield fields["gold"], fields["pred"], bool(verdict), True


def asserted(statements, names):
    """The pairs in `assertTrue(f(left, right))` and `assertFalse(f(left, right))`."""
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                names[statement.targets[0].id] = constant(statement.value, names)
            except (KeyError, ValueError):
                names.pop(statement.targets[0].id, None)
        elif isinstance(statement, ast.For) and isinstance(statement.target, ast.Tuple):
            try:
                rows = constant(statement.iter, names)
            except (KeyError, ValueError):
                continue
            for row in rows:
                targets = [target.id for target in statement.target.elts]
                yield from asserted(statement.body, {**names, **dict(zip(targets, row))})
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            verdict = {"assertTrue": True, "assertFalse": False}.get(getattr(statement.value.func, "attr", ""))
            call = statement.value.args[0] if statement.value.args else None
            if verdict is None or not isinstance(call, ast.Call) or len(call.args) < 2:
                continue
            try:
                yield constant(call.args[0], names), constant(call.args[1], names), verdict, False
            except (KeyError, ValueError):
                continue


def rows_of(folder):
    """The distinct pairs of a checkout: (left, right, whether they are equal, whether they are responses)."""
    seen = set()
    for path in sorted(pathlib.Path(folder).rglob("*test*.py")):
        try:
            tree = ast.parse(path.read_text())
        except (SyntaxError, UnicodeDecodeError):
            continue
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test"):
                for left, right, equal, is_response in [*parametrized(function), *asserted(function.body, {})]:
                    if not all(isinstance(side, (str, int, float)) for side in (left, right)):
                        continue
                    row = (str(left), str(right), equal, is_response)
                    if row not in seen:
                        seen.add(row)
                        yield row


# Asking ttrl.


def ask(ttrl, verb, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    output = subprocess.run([ttrl, verb], input=text, capture_output=True, text=True, check=True).stdout
    answers = [json.loads(line) for line in output.splitlines()]
    assert len(answers) == len(lines), f"{len(lines)} lines in, {len(answers)} out"
    return answers


FORMULA = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|(?<!\\)\$(.+?)(?<!\\)\$", re.DOTALL)


def answer_in(text, found):
    if found is not None:
        return found
    # `$1$ and $2$` is an answer as it is.
    if re.fullmatch(r"(and|or|[\s,;.])*", FORMULA.sub("", text)):
        return text
    formulas = [next(group for group in match if group) for match in FORMULA.findall(text) if any(match)]
    return formulas[-1] if formulas else text


# Classes.


def name_of(left, right):
    return hashlib.sha256(json.dumps(sorted((left, right))).encode()).hexdigest()[:8]


# The disagreements that are known, by the names of their pairs.
CLASSES = [
    ("convention", "a rounded value never equals the exact one", "8cb17296 06eda012 1f1dc3e5 29aab76e 60205efc"),
    ("convention", "a rounded value never equals the exact one", "bca77e97 6f2b985e b41c4b08 f1c26fb8"),
    ("convention", "a list without brackets has no order", "220c3adc a25a6855"),
    ("convention", "a percent sign is ignored and is not a hundredth", "09abb97b"),
    ("convention", "a comma is never a decimal point", "8a1c2a1f 91ae944b ee1d4572 9eb855d3"),
    ("convention", "an answer is in a box or behind a phrase", "c8edd39e 0d54ad58 dbe79068 91af0175 bb34f681 fab40f4e"),
    ("convention", "an answer is in a box or behind a phrase", "6d612aec 6afd84c4"),
    ("convention", "boxes that are not joined in one sentence: the last one", "436aac03 668efc35 b365bc3c aca64ba8"),
    ("convention", "a word that is not a unit is part of the answer", "a74cc63c f26afea3"),
    ("convention", "names order the values, and bare values are a list", "4725c9f6 d6f15e48 b37ec608"),
    ("convention", "a tuple is not a set, and a matrix is not a list", "202f6f51 46d28b9d"),
    ("convention", "an equation that is not solved for a name stays one", "fe91b10e 5dc5e640 2cb6760f 047e525c"),
    ("convention", "an equation that is not solved for a name stays one", "d32e02c2 a7e2eef9"),
    ("convention", "a time of day is compared as it is written", "3d2b38b0 d4196e6d"),
    ("convention", "a unit can follow its number without a space", "4dde0f24"),
    ("convention", "an inequality for a name is its interval", "0f28e1c2"),
    ("convention", "a formula can have line ends in it", "c8513bc4"),
    ("right here", "the values differ", "48bbf1b4 fcb12260 04c7df73"),
    ("right here", "a chain of equations contradicts itself", "2cae9de6 0daae3d5 60cc7073 4d5cc4f2"),
    ("right there", "sums over an index and sums of matrices are not computed", "e74ec42b 256e16b1 4d3cbb01"),
    ("right there", "an inequality for an expression is not solved", "6913c21e 834afa74 e086b991 2b1972c1"),
    ("right there", "several solutions with several names are not read", "e1572658 da14486b"),
    ("right there", "a command that runs into the next letter is not read", "a5bc0b48 cf1157b6"),
    ("right there", "a power 3/2 of a quotient of symbols is not taken apart", "c4713540"),
]
PAIRS = {name: (verdict, reason) for verdict, reason, names in CLASSES for name in names.split()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ttrl", default=".build/release/ttrl")
    parser.add_argument("--list", action="store_true", help="print every disagreement, with its name")
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    options = parser.parse_args()
    totals, classes = collections.defaultdict(collections.Counter), collections.Counter()
    problems = []
    for folder in options.folders:
        # Two tables can have the same pair, so a pair can be counted twice.
        source = pathlib.Path(folder).resolve().name
        rows = list(rows_of(folder))
        if not rows:
            sys.exit(f"{folder}: no table of answers found. Is it a checkout with the grader's tests?")
        texts = [side for row in rows for side in row[:2]]
        found = [line.get("answer") if row[3] else text for line, text, row in zip(
            ask(options.ttrl, "extract", [{"response": text} for text in texts]), texts,
            [row for row in rows for _ in range(2)])]
        answers = [answer_in(text, answer) for text, answer in zip(texts, found)]
        pairs = list(zip(answers[::2], answers[1::2]))
        verdicts = ask(options.ttrl, "grade", [{"answer": left, "reference": right} for left, right in pairs])
        backward = ask(options.ttrl, "grade", [{"answer": right, "reference": left} for left, right in pairs])
        for row, (left, right), one, other in zip(rows, pairs, verdicts, backward):
            mine, theirs = one["equivalent"], row[2]
            totals[source].update(pairs=1, equal=theirs, agree=mine == theirs)
            if mine != other["equivalent"]:
                problems.append(f"NOT SYMMETRIC: {left!r} and {right!r}")
            if mine == theirs:
                continue
            side = PAIRS.get(name_of(left, right))
            if options.list:
                print(name_of(left, right), f"ttrl: {mine}, {source}: {theirs}", side, repr(left[-99:]), repr(right[-99:]))
            if side is None:
                problems.append(f"NO CLASS {name_of(left, right)}: {left!r} and {right!r}: {mine} here, {theirs} there")
                continue
            verdict, reason = side
            totals[source][verdict] += 1
            classes[(verdict, reason, mine)] += 1
            if mine and verdict == "right there":
                problems.append(f"FALSE POSITIVE {name_of(left, right)}: {left!r} and {right!r}")
    report(totals, classes)
    print("\n".join(["", *problems]) if problems else "\nFalse positives of ttrl: 0.")
    return 1 if problems else 0


def report(totals, classes):
    print("| table | pairs | equal there | same verdict | right here | right there | convention |")
    print("|---|---|---|---|---|---|---|")
    for source, row in totals.items():
        cells = [row[key] for key in ("pairs", "equal", "agree", "right here", "right there", "convention")]
        print(f"| {source} | " + " | ".join(map(str, cells)) + " |")
    print("\n| disagreement | ttrl says | class | pairs |\n|---|---|---|---|")
    for (verdict, reason, mine), count in sorted(classes.items(), key=lambda item: (item[0][0], -item[1], item[0][1])):
        print(f"| {reason} | {'equal' if mine else 'not equal'} | {verdict} | {count} |")


if __name__ == "__main__":
    sys.exit(main())
