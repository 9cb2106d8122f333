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


def parametrized(function, source):
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
            fields = dict(zip(names, row))
            verdict = fields.get("expected", fields.get("result"))
            # Looser modes of a grader are no claims about answers.
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
                for left, right, equal, is_response in [*parametrized(function, path), *asserted(function.body, {})]:
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
    formulas = [next(group for group in match if group) for match in FORMULA.findall(text) if any(match)]
    return formulas[-1] if formulas else text


# Classes.


def name_of(left, right):
    return hashlib.sha256(json.dumps(sorted((left, right))).encode()).hexdigest()[:8]


@CLASSES@


def class_of(left, right, mine):
    """(verdict, reason) of a disagreement, or None."""
    known = PAIRS.get(name_of(left, right))
    if known:
        return known
    both = left + " ; " + right
    for verdict, reason, wanted, pattern in KINDS:
        if wanted == mine and re.search(pattern, both):
            return verdict, reason
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ttrl", default=".build/release/ttrl")
    parser.add_argument("--list", action="store_true", help="print every disagreement, with its name")
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    options = parser.parse_args()
    totals, classes, examples = collections.defaultdict(collections.Counter), collections.Counter(), {}
    problems = []
    for folder in options.folders:
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
            side = class_of(left, right, mine)
            if options.list:
                print(name_of(left, right), "ttrl:", mine, source + ":", theirs, side, repr(left[-150:]), repr(right[-150:]))
            if side is None:
                problems.append(f"UNCLASSIFIED {name_of(left, right)}: {left!r} and {right!r}: {mine} here, {theirs} there")
                continue
            verdict, reason = side
            totals[source][verdict] += 1
            classes[(verdict, reason, mine)] += 1
            examples.setdefault((verdict, reason, mine), source)
            if mine and verdict == "right there":
                problems.append(f"FALSE POSITIVE {name_of(left, right)}: {left!r} and {right!r}")
    report(totals, classes)
    print("\n".join(["", *problems]) if problems else "\nFalse positives of ttrl: 0.")
    return 1 if problems else 0


def report(totals, classes):
    print("| table | pairs | equal there | same verdict | right here | right there | convention |\n|---|---|---|---|---|---|---|")
    for source, row in totals.items():
        cells = [row[key] for key in ("pairs", "equal", "agree", "right here", "right there", "convention")]
        print(f"| {source} | " + " | ".join(map(str, cells)) + " |")
    print("\n| disagreement | ttrl says | class | pairs |\n|---|---|---|---|")
    for (verdict, reason, mine), count in sorted(classes.items(), key=lambda item: (item[0][0], -item[1], item[0][1])):
        print(f"| {reason} | {'equal' if mine else 'not equal'} | {verdict} | {count} |")


if __name__ == "__main__":
    sys.exit(main())
