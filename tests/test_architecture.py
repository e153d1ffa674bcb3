"""The rules of docs/architecture.md: layers, public surfaces, the length of modules, the page"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.support import ROOT

PLUGINS = ROOT / "plugins"
XRAY = PLUGINS / "xray"
PAGE = ROOT / "docs" / "architecture.md"
MODULES = sorted(XRAY.rglob("*.py"))
PACKAGES = sorted(path.parent for path in XRAY.rglob("__init__.py") if path.parent != XRAY)
ADAPTERS = ("xray.airflow", "xray.web")
"""Packages whose public surface is their modules: nothing of Airflow is imported too early."""
MOST_LINES = 350
REASON = "lines:"
"""Starts the sentence of a docstring that says why a module is longer."""


def dotted(path: Path) -> str:
    """The name of a module or package."""
    parts = path.relative_to(PLUGINS).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Line, module and names of each ``from xray… import …``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "xray":
            yield node.lineno, str(node.module), [name.name for name in node.names]


def surface(package: str) -> list[str]:
    """A package's ``__all__``."""
    names: list[str] = import_module(package).__all__
    return names


def test_the_layers_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout


def test_the_check_finds_an_arrow_against_the_rules(tmp_path: Path) -> None:
    """A copy of the package in which a plain module imports a case is refused."""
    package = tmp_path / "xray"
    for path in MODULES:
        copy = package / path.relative_to(XRAY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    (package / "risk.py").write_text("from xray.case import Source\n")
    config = (ROOT / "pyproject.toml").read_text()
    config = config.replace('root_packages = ["xray", "include"]', 'root_packages = ["xray"]')
    config = re.sub(
        r'\[\[tool\.importlinter\.contracts\]\]\nid = "package".*?\n\n', "", config, flags=re.S
    )
    (tmp_path / "pyproject.toml").write_text(config)
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "xray.risk is not allowed to import xray.case" in done.stdout


@pytest.mark.parametrize("package", [dotted(path / "__init__.py") for path in PACKAGES])
def test_a_package_names_its_public_surface(package: str) -> None:
    names = surface(package)
    assert names == sorted(set(names), key=lambda n: (not n.isupper(), n.islower(), n)), "sorted"
    folder = PLUGINS / package.replace(".", "/")
    modules = {path.stem for path in folder.glob("[a-z]*.py")}
    modules |= {path.name for path in folder.iterdir() if (path / "__init__.py").exists()}
    for name in names:
        assert not name.startswith("_")
        if package.startswith(ADAPTERS):
            assert name in modules, f"{package} has no module {name}"
        else:
            assert name in modules or hasattr(import_module(package), name)
    if package.startswith(ADAPTERS):
        assert set(names) == modules, "each module of an adapter is named"


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PLUGINS)) for path in MODULES])
def test_a_module_imports_public_names_alone(path: Path) -> None:
    """Of another plain package, a module uses what the package's ``__all__`` names."""
    plain = [d for d in (dotted(p / "__init__.py") for p in PACKAGES) if not d.startswith(ADAPTERS)]
    mine = dotted(path)
    for line, module, names in imports(path):
        assert not any(name.startswith("_") for name in names), f"line {line}: {names}"
        owner = max((p for p in plain if module == p or module.startswith(f"{p}.")), default=None)
        if owner is None or mine == owner or mine.startswith(f"{owner}."):
            continue
        if module == owner:
            assert set(names) <= set(surface(owner)), f"line {line}: {owner} does not name {names}"
        else:
            submodule = module.removeprefix(f"{owner}.").split(".")[0]
            assert submodule in surface(owner), f"line {line}: import from {owner}, not {module}"


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PLUGINS)) for path in MODULES])
def test_a_long_module_gives_its_reason(path: Path) -> None:
    text = path.read_text()
    lines = text.count("\n")
    reason = REASON in (ast.get_docstring(ast.parse(text)) or "")
    assert lines <= MOST_LINES or reason, f"{lines} lines, and its docstring gives no reason"


@pytest.mark.parametrize("path", sorted((ROOT / "dags").glob("*.py")), ids=lambda path: path.stem)
def test_a_dag_file_imports_adapters_alone(path: Path) -> None:
    """A DAG file wires what ``xray.airflow`` offers, and nothing below it."""
    used = [module for _, module, _ in imports(path)]
    assert used
    assert all(module.startswith("xray.airflow") for module in used), used


def test_the_page_names_every_module() -> None:
    page = PAGE.read_text()
    for path in MODULES:
        if path.name in ("__init__.py", "__main__.py"):
            continue
        name = path.relative_to(XRAY).as_posix()
        assert f"`{name}`" in page or f"`plugins/xray/{name}" in page, f"{name} is missing"


def test_what_the_page_names_exists() -> None:
    """Each ``file:function`` of the walks is a function or class of that file."""
    named = re.findall(r"`([\w./-]+\.(?:py|json|yaml|env|toml))(?::([\w.]+))?`", PAGE.read_text())
    assert len([1 for _, function in named if function]) >= 20, "three walks"
    for file, function in named:
        candidates = [ROOT / file, XRAY / file]
        path = next((one for one in candidates if one.exists()), None)
        assert path is not None, f"{file} does not exist"
        if function:
            defined = set()
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    defined |= {
                        f"{node.name}.{one.name}"
                        for one in node.body
                        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
                    }
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    defined.add(node.name)
                if isinstance(node, ast.Assign | ast.AnnAssign):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    defined |= {t.id for t in targets if isinstance(t, ast.Name)}
            assert function in defined, f"{file} defines no {function}"
