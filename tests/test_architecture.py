"""The house rules that no linter knows: who may import whom, how long a file may be, what must never be called."""

import ast
import contextlib
import functools
import itertools
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from typer.main import get_command

from lipo.cli._app import app

ROOT = Path(__file__).parents[1]
PACKAGES = ("lipo", "reward_fns", "merge", "eval", "recipes")
LONGEST = 450

# Every part of the project, and the other parts that it may import. The most specific name counts.
ALLOWED = {
    "lipo": set(),
    "lipo.common": set(),
    "lipo.groups": {"lipo.common"},
    "lipo.estimators": {"lipo.common", "lipo.groups"},
    "lipo.verl_plugin": {"lipo.common", "lipo.groups", "lipo.estimators"},
    "lipo.training": {"lipo.common", "lipo.estimators"},
    "lipo.sft": {"lipo.common", "lipo.training"},
    "lipo.doctor": {"lipo.common", "lipo.training"},
    "lipo.pipeline": {"lipo.common"},
    "lipo.planning": {"lipo.common"},
    "lipo.submission": {"lipo.common"},
    "lipo.video": {"lipo.common"},
    "reward_fns": {"lipo.common"},
    "merge": {"lipo.common"},
    # A clip is decoded by one code for training and evaluation; lipo.video is a leaf, without torch, verl or vLLM.
    "eval": {"lipo.common", "lipo.video", "reward_fns"},
    # The study of merges asks a method for the scale it has by default; the check against leaks asks the declarations
    # of benchmarks for their columns.
    "recipes": {"lipo.common", "lipo.training", "lipo.video", "reward_fns", "merge", "eval"},
}
ALLOWED["lipo.cli"] = set(ALLOWED) - {"recipes"}

# What a part must not import from elsewhere, for it to be of use without.
FOREIGN = {
    "lipo.common": {"torch", "verl", "vllm", "transformers"},
    "lipo.groups": {"ray", "verl", "vllm", "transformers"},
    "lipo.estimators": {"ray", "verl", "vllm", "transformers"},
    "lipo.video": {"torch", "ray", "verl", "vllm", "transformers"},
    "reward_fns": {"torch", "ray", "verl", "vllm", "transformers"},
    "lipo.pipeline": {"torch", "ray", "verl", "vllm", "transformers"},
    "lipo.planning": {"torch", "ray", "verl", "vllm", "transformers"},
    "lipo.submission": {"torch", "ray", "verl", "vllm", "transformers"},
    "merge": {"verl", "vllm", "trl"},
    "eval": {"verl"},
}

SERIALISERS = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"}
DISTRIBUTIONS = packages_distributions()
HEAVY = {"torch", "ray", "verl", "vllm", "transformers", "pandas", "scipy", "matplotlib", "hydra", "numpy"}


def files():
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@functools.cache
def tree(path):
    return ast.parse(path.read_text("utf-8"), str(path))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module):
    matching = [part for part in ALLOWED if module == part or module.startswith(part + ".")]
    return max(matching, key=len, default=None)


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(path):
    """(line, full module name) of everything a file imports, inside functions too."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], base]).strip(".")
            yield node.lineno, base
            # 'from lipo import cli' names a module too.
            yield from (
                (node.lineno, f"{base}.{alias.name}")
                for alias in node.names
                if part_of(f"{base}.{alias.name}") not in (None, part_of(base))
            )


def violations(check):
    return [f"{path.relative_to(ROOT)}:{line}: {what}" for path in files() for line, what in check(path)]


def wrong_imports(path):
    own = part_of(module_name(path))
    for line, module in imports(path):
        other = part_of(module)
        if other not in (None, own, "lipo") and other not in ALLOWED[own]:
            yield line, f"{own} must not import {other}"
        if module.partition(".")[0] in FOREIGN.get(own, ()):
            yield line, f"{own} must not import {module}"


def test_there_are_files():
    assert {part_of(module_name(path)) for path in files()} == set(ALLOWED)


def test_imports_run_one_way():
    assert violations(wrong_imports) == []


def test_the_architecture_page_draws_every_import():
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    diagram = text.split("```mermaid")[1].split("```")[0]
    names = dict(re.findall(r"(\w+)\[([\w.]+)\]", diagram))
    drawn = set()
    for line in diagram.splitlines():
        groups = [re.findall(r"(\w+)(?:\[.*?\])?", group) for group in line.split("-->")]
        for sources, targets in itertools.pairwise(groups):
            drawn |= {(names.get(a, a), names.get(b, b)) for a in sources for b in targets}
    made = {(part_of(module_name(path)), part_of(module)) for path in files() for _, module in imports(path)}
    assert drawn == {(a, b) for a, b in made if a != b and b not in (None, "lipo", "lipo.common")}
    unexplained = {"lipo", "lipo.common", "lipo.cli", "lipo.groups"}
    assert {part for part in ALLOWED if f"| `{part}` |" not in text} == unexplained


def test_the_check_would_notice(tmp_path, monkeypatch):
    """The rules above hold only if a breach of each kind is seen."""
    bad = tmp_path / "merge" / "bad.py"
    bad.parent.mkdir()
    bad.write_text(
        "from lipo import cli\n"
        "def f():\n    import reward_fns.math\n    from verl import DataProto\n"
        "eval('1')\nimport pickle\ntorch.load('x')\nm(trust_remote_code=flag)\nrun('ls', shell=True)\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert [what for _, what in wrong_imports(bad)] == [
        "merge must not import lipo.cli",
        "merge must not import reward_fns",
        "merge must not import verl",
    ]
    assert sorted(line for line, _ in dangers(bad)) == [5, 6, 7, 8, 9]


def dangers(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name in ("eval", "exec", "os.system", "yaml.load", "yaml.unsafe_load", "np.load", "numpy.load"):
                yield node.lineno, f"calls {name}"
            if name == "torch.load" and keywords.get("weights_only") != "True":
                yield node.lineno, "calls torch.load without weights_only=True"
            if keywords.get("trust_remote_code", "False") != "False":
                yield node.lineno, "trusts remote code"
            if keywords.get("shell", "False") != "False":
                yield node.lineno, "starts a shell"
    for line, module in imports(path):
        if module.partition(".")[0] in SERIALISERS:
            yield line, f"imports {module}"


def test_nothing_runs_what_it_reads():
    assert violations(dangers) == []


def test_files_hold_one_idea():
    paths = [*files(), *(ROOT / "install").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), ROOT / "setup.py"]
    lengths = {str(path.relative_to(ROOT)): path.read_text("utf-8").count("\n") for path in paths}
    assert {name: length for name, length in lengths.items() if length >= LONGEST} == {}


def declared():
    """Distributions that setup.py asks for, extras included."""
    for node in ast.walk(tree(ROOT / "setup.py")):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            with contextlib.suppress(InvalidRequirement):
                yield canonicalize_name(Requirement(node.value).name)


def test_every_import_is_declared():
    """Not left to what other packages happen to bring along; the second-hand ones are named."""
    # torch brings sympy in the very version it needs; tokenizers belongs to transformers.
    second_hand = {
        "markupsafe": "jinja2",
        "sympy": "torch",
        "latex2sympy2_extended": "math-verify",
        "tokenizers": "transformers",
    }
    known = set(declared())
    undeclared = set()
    for path in files():
        for _, module in imports(path):
            top = module.partition(".")[0]
            if top in PACKAGES or top in sys.stdlib_module_names:
                continue
            distributions = {canonicalize_name(d) for d in DISTRIBUTIONS.get(top, [second_hand.get(top, top)])}
            if not distributions & known and second_hand.get(top) not in known:
                undeclared.add(top)
    assert undeclared == set()


def definition(module, name, seen=()):
    """The class or function that ``module`` offers as ``name``; None for a constant."""
    path = ROOT / Path(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    body = tree(path).body
    for node in [*body, *(inner for outer in body if is_type_checking(outer) for inner in outer.body)]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node
        if isinstance(node, ast.ImportFrom) and part_of(node.module or "") and (node.module, name) not in seen:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return definition(node.module, alias.name, (*seen, (node.module, name)))
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return None
    raise AssertionError(f"{module} has no {name}")


def public():
    for path in files():
        for node in tree(path).body:
            if (
                path.name == "__init__.py"
                and isinstance(node, ast.Assign)
                and ast.unparse(node.targets[0]) == "__all__"
            ):
                yield from ((module_name(path), name) for name in ast.literal_eval(node.value))


def test_everything_public_exists_and_is_documented():
    names = list(public())
    assert len(names) > 20
    undocumented = []
    for module, name in names:
        node = definition(module, name)
        if node is not None and not ast.get_docstring(node):
            undocumented.append(f"{module}.{name}")
    assert undocumented == []


def test_tests_are_no_package():
    assert list((ROOT / "tests").rglob("__init__.py")) == []


@pytest.mark.parametrize("command", [[], *([name] for name in get_command(app).commands)], ids=" ".join)
def test_help_loads_nothing_heavy(command):
    code = (
        "import sys; sys.argv = ['lipo', *sys.argv[1:], '--help']\n"
        "from lipo.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print('loaded:', *sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Usage:" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]
