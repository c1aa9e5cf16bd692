"""Who may import whom, read from the source; and what the privileged helper really loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Optional

import click
import pytest

from ipsecmon.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ipsecmon"


class Layer(NamedTuple):
    """ours: our modules that it may import, besides its own. third: third parties; None is any."""

    ours: frozenset[str]
    third: Optional[frozenset[str]]


def layer(ours: str, third: Optional[str] = None) -> Layer:
    return Layer(frozenset(ours.split()), None if third is None else frozenset(third.split()))


LAYERS = {
    "errors": layer("", third=""),
    "direction": layer("", third=""),
    "model": layer("direction qos", third=""),
    "qos": layer("direction", third=""),
    "packets": layer("", third="numpy"),
    "sa_table": layer("ipsec", third="numpy"),
    "ipsec": layer("model", third=""),
    "links": layer("", third=""),
    "clock": layer("", third=""),
    "units": layer("", third=""),
    "wire": layer("errors model packets qos ipsec sa_table links units", third="numpy dpkt"),
    "account": layer("errors model packets qos ipsec sa_table links units", third="numpy"),
    "sources": layer("errors model packets qos ipsec sa_table links units wire clock"),
    "sinks": layer("errors model qos units wire clock"),
    "store": layer("errors model qos ipsec units clock"),
    "ruleset": layer("errors model", third=""),
    "helper": layer("errors model ipsec wire ruleset", third=""),
    "config": layer("errors model units sinks"),
    "agent": layer(
        "errors model packets qos ipsec sa_table links units clock"
        " wire account sources sinks store ruleset helper config"
    ),
    "dashboards": layer("sinks", third=""),
    "cli": layer("errors model qos units clock config agent store ruleset"),
    "__main__": layer("cli", third=""),
    "__init__": layer("", third=""),
}
WIRING = "agent/wiring.py"
PLUGGED = ("sources", "sinks", "store")  # whose concrete classes only the wiring names


class Import(NamedTuple):
    """One imported module, or name of a module, where it stands."""

    path: Path
    line: int
    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.module} {self.name}"


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].partition(".")[0]


def run_time_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from run_time_nodes(node)


def imports_of(path: Path) -> Iterator[Import]:
    for node in run_time_nodes(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name, "")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            for alias in node.names:
                yield Import(path, node.lineno, node.module or "", alias.name)


def all_imports() -> list[Import]:
    return [found for path in sorted(PACKAGE.rglob("*.py")) for found in imports_of(path)]


def fault(found: Import, standard: frozenset[str]) -> str:
    """What is wrong with an import, or an empty string."""
    own = layer_of(found.path)
    allowed = LAYERS[own]
    top, _, rest = found.module.partition(".")
    if top == "ipsecmon":
        target = (rest or found.name).partition(".")[0]
        good = target in {own, *allowed.ours} or (target == "__version__" and own == "cli")
        return "" if good else f"{found}: {own} may not import {target}"
    good = top in standard or allowed.third is None or top in allowed.third
    return "" if good else f"{found}: {own} may not import {top}"


def standard_library() -> frozenset[str]:
    names: Optional[frozenset[str]] = getattr(sys, "stdlib_module_names", None)
    if names is None:
        pytest.skip("needs Python 3.10: sys.stdlib_module_names")
    return names


def defined_class(found: Import) -> Optional[ast.ClassDef]:
    """The class that is imported from the very module that defines it."""
    source = ROOT / (found.module.replace(".", "/") + ".py")
    if not source.exists():
        return None
    body = ast.parse(source.read_text()).body
    return next((node for node in body if isinstance(node, ast.ClassDef) and node.name == found.name), None)


def is_concrete(defined: ast.ClassDef) -> bool:
    """Neither a seam (Protocol) nor a value (dataclass, named tuple, enum) nor an error."""
    words = " ".join(ast.dump(part) for part in (*defined.bases, *defined.decorator_list))
    return not any(word in words for word in ("Protocol", "dataclass", "NamedTuple", "Enum", "Error"))


def test_every_module_belongs_to_a_layer() -> None:
    assert {layer_of(path) for path in PACKAGE.rglob("*.py")} <= set(LAYERS)


def test_no_module_imports_what_its_layer_may_not() -> None:
    standard = standard_library()

    faults = [found for found in (fault(entry, standard) for entry in all_imports()) if found]
    assert not faults, "\n".join(faults)


def test_only_the_wiring_names_concrete_sources_sinks_and_stores() -> None:
    outside = [
        found
        for found in all_imports()
        if layer_of(found.path) == "agent" and found.path != PACKAGE / WIRING
        if found.module.split(".")[1:2] and found.module.split(".")[1] in PLUGGED
    ]
    classes = [(found, defined_class(found)) for found in outside]

    named = [str(found) for found, defined in classes if defined is not None and is_concrete(defined)]
    assert not named, "\n".join(named)


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("wire/new.py", "import socket, pyroute2"),
        ("account/new.py", "from ipsecmon.clock import SystemClock"),
        ("store/new.py", "from ipsecmon import sinks"),
        ("helper/new.py", "def later():\n    import numpy"),
        ("cli/new.py", "try:\n    import ipsecmon.sources.nflog\nexcept ImportError: ..."),
    ],
)
def test_a_wrong_import_is_found_wherever_it_stands(where: str, text: str) -> None:
    tree = [
        node for node in run_time_nodes(ast.parse(text)) if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    module = getattr(tree[0], "module", None)
    names = [alias.name for alias in tree[0].names]
    found = [Import(PACKAGE / where, 1, module or name, name if module else "") for name in names]

    assert [entry for entry in found if fault(entry, standard_library())]


def test_the_helper_loads_no_third_party_module() -> None:
    program = (
        "import sys, pkgutil, importlib, ipsecmon.helper\n"
        "for found in pkgutil.walk_packages(ipsecmon.helper.__path__, 'ipsecmon.helper.'):\n"
        "    if not found.name.endswith('__main__'): importlib.import_module(found.name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    # -S: what site-packages' own .pth files load at start is not the helper's doing, and nothing of
    # site-packages can be found at all
    argv = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    third = {"numpy", "pydantic", "yaml", "click", "rich", "pyroute2", "influxdb_client", "vici"}
    assert third.isdisjoint(done.stdout.split())


def test_no_command_loads_numpy_before_capabilities_are_gone() -> None:
    """Its threads would keep them; and each command would take longer to start."""
    loaded = _loaded_by("[cli.get_command(None, name) for name in cli.list_commands(None)]")

    assert "ipsecmon.cli.compare" in loaded and "numpy" not in loaded


def test_a_command_loads_no_other_one() -> None:
    loaded = _loaded_by("cli.get_command(None, 'mark')")

    names = cli.list_commands(click.Context(cli))
    assert [name for name in names if f"ipsecmon.cli.{name}" in loaded] == ["mark"]


def _loaded_by(statement: str) -> set[str]:
    """Names of modules."""
    program = f"import sys; from ipsecmon.cli.main import cli; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())
