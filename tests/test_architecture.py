"""The import table of CONTRIBUTING.md, the light import, and what a module may be."""

import ast
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "aevb_lib"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# The table of CONTRIBUTING.md: layer, modules, and either any module below or some by name.
ROWS = [
    (int(layer), re.findall(r"`(\w+)`", names), allowed.strip())
    for layer, names, allowed in re.findall(
        r"^\| (\d+) \| (.+?) \| (.+?) \|$",
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
]
LAYER_OF = {name: layer for layer, names, _ in ROWS for name in names}
ONLY = {
    name: set(re.findall(r"`(\w+)`", allowed))
    for _, names, allowed in ROWS
    for name in names
    if allowed != "what is below"
}
EVERYWHERE = {"jaxtyping"}
THIRD_PARTY = {
    "files": set(),
    "history": set(),
    "hmc": {"torch"},
    "latents": {"torch", "sklearn"},
}
HEAVY = {"matplotlib", "ipywidgets", "sklearn", "torchvision", "pandas", "joblib", "safetensors"}


def imports(path):
    """Absolute names of what a file imports anywhere, and those it imports when it is imported."""
    everywhere, at_top = set(), set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [node.module]
            if node.module == "aevb_lib":
                names = [f"aevb_lib.{alias.name}" for alias in node.names]
        everywhere.update(names)
        if node not in inner:
            at_top.update(names)
    return everywhere, at_top


def part_of(module):
    """``aevb_lib.inference.aevb`` belongs to ``inference``."""
    return module.split(".")[1] if "." in module else ""


INNER = {name: path for name, path in MODULES.items() if part_of(name)}
each_module = pytest.mark.parametrize("module", INNER)


@each_module
def test_every_module_has_a_place(module):
    assert part_of(module) in LAYER_OF, f"put {module} into the table of CONTRIBUTING.md"


@each_module
def test_imports_go_one_way(module):
    own = part_of(module)
    for name in imports(INNER[module])[0]:
        if not name.startswith("aevb_lib"):
            continue
        other = part_of(name)
        assert other in LAYER_OF, f"{module} imports {name}: name the module, not the package"
        if other == own:
            continue
        assert LAYER_OF[other] < LAYER_OF[own], f"{module} imports {name}, which is not below it"
        if own in ONLY:
            assert other in ONLY[own], f"{own} may only use {ONLY[own]}, not {name}"


def test_the_table_names_what_there_is():
    places = [name for _, names, _ in ROWS for name in names]
    assert sorted(places) == sorted({part_of(module) for module in INNER})
    assert all(names <= set(places) for names in ONLY.values())


@each_module
def test_heavy_libraries_stay_in_their_place(module):
    names = {name.split(".")[0] for name in imports(INNER[module])[0]}
    third_party = names - set(sys.stdlib_module_names) - {"aevb_lib"}
    own = part_of(module)
    if own in THIRD_PARTY:
        everywhere = EVERYWHERE if THIRD_PARTY[own] else set()
        assert third_party <= THIRD_PARTY[own] | everywhere
    assert "matplotlib" not in third_party or own == "plotting"
    assert "ipywidgets" not in third_party or own == "widgets"


def test_algorithms_do_not_know_each_other():
    files = {name for name in MODULES if name.startswith("aevb_lib.inference.")}
    assert files
    for name in files:
        assert not imports(MODULES[name])[0] & (files | {"aevb_lib.inference"}), name


@pytest.mark.parametrize("module", MODULES)
def test_a_module_can_be_read_in_one_sitting(module):
    path = MODULES[module]
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 320, f"{module} has {len(lines)} lines: look at it again"
    assert path.stem not in {"utils", "util", "helpers", "common", "core", "base", "misc"}
    assert ast.get_docstring(ast.parse("\n".join(lines))), f"{module} has no docstring"


def public():
    for module in sorted(MODULES):
        if module.split(".")[-1] == "__main__":
            continue
        for name in getattr(importlib.import_module(module), "__all__", []):
            yield module, name


@pytest.mark.parametrize(("module", "name"), list(public()))
def test_public_names_exist_and_are_documented(module, name):
    thing = getattr(importlib.import_module(module), name)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert inspect.getdoc(thing), f"{module}.{name} has no docstring"


@pytest.mark.parametrize("name", importlib.import_module("aevb_lib").__all__)
def test_top_level_names_have_an_example(name):
    thing = getattr(importlib.import_module("aevb_lib"), name)
    shapes_only = {"Algorithm", "Batch", "Bound", "Codec", "Record"}
    if name not in shapes_only:
        assert "Example:" in thing.__doc__, f"{name} has no example"
        assert ">>>" in thing.__doc__


# A description of an argument names a thing: "Seed of the chains.", not "Of the chains.".
NO_NOUN = {"as", "at", "by", "for", "from", "how", "in", "of", "on", "to", "what", "where", "with"}


@pytest.mark.parametrize("module", MODULES)
def test_descriptions_begin_with_what_a_thing_is(module):
    text = MODULES[module].read_text(encoding="utf-8")
    described = re.findall(r"^ {8,12}(\w+): (\w+)", text, re.MULTILINE)
    assert [name for name, word in described if word.lower() in NO_NOUN] == []


def fresh(code):
    """Run code in a new interpreter and return the JSON that it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_importing_is_light_and_has_no_side_effect():
    before_and_after = fresh(
        """
import json, os, sys, time, warnings, torch
def state():
    return [torch.get_rng_state().sum().item(), torch.initial_seed(),
            str(torch.get_default_dtype()), torch.is_grad_enabled(),
            torch.get_num_threads(), len(warnings.filters),
            torch.distributions.Distribution._validate_args, sorted(os.environ), os.getcwd()]
before = state()
loaded = set(sys.modules)
# CPU seconds, so that a busy machine does not count; files written would be opened for writing.
written = []
sys.addaudithook(lambda event, args: written.append(str(args[0])) if event == "open"
                 and isinstance(args[1], str) and set(args[1]) & set("wax+") else None)
start = time.process_time()
import aevb_lib
seconds = time.process_time() - start
print(json.dumps([before, state(), sorted({n.split(".")[0] for n in set(sys.modules) - loaded}),
                  seconds, written]))
"""
    )
    before, after, loaded, seconds, written = before_and_after
    assert before == after
    assert not HEAVY & set(loaded), HEAVY & set(loaded)
    assert written == []
    if seconds >= 0.3:  # a second chance: the first import may have compiled bytecode
        code = (
            "import torch, time, json; start = time.process_time(); import aevb_lib; "
            "print(json.dumps(time.process_time() - start))"
        )
        assert min(fresh(code) for _ in range(3)) < 0.3


def test_plotting_leaves_matplotlib_alone():
    assert fresh(
        "import json, matplotlib as m; before = dict(m.rcParams); import aevb_lib.plotting; "
        "print(json.dumps(before == dict(m.rcParams)))"
    )
