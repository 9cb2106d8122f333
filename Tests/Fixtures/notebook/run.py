"""Runs the code cells of a notebook in order, without Jupyter: run.py NOTEBOOK. Prints the value of each cell.

A cell that begins with "# needs PACKAGE" is skipped, with a message, where the package is missing.
"""
import ast, importlib.util, json, sys

with open(sys.argv[1]) as file:
    cells = json.load(file)["cells"]
names = {"__name__": "__main__"}
for cell in cells:
    if cell["cell_type"] != "code":
        continue
    source = "".join(cell["source"])
    first = source.split("\n")[0]
    if first.startswith("# needs ") and not importlib.util.find_spec(first.split()[-1]):
        print(f"skipped a cell: there is no {first.split()[-1]}")
        continue
    tree = ast.parse(source)
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, cell["id"], "exec"), names)
    if last:
        print(f"[{cell['id']}]", eval(compile(last, cell["id"], "eval"), names), sep="\n")
