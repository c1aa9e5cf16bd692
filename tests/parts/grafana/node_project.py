"""Grafana's npm packages, and what is built with them: a schema, a page that draws, what transforms.

Packages and what is built are kept between runs, under names that tell what they were made of.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["built_page", "built_schema", "built_transformer"]

SOURCES = Path(__file__).parent / "node"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ipsecmon-grafana"
WITHIN_S = 900

_PACKAGES = ("package.json", "package-lock.json")
_SCHEMA = ("schema.ts", "tsconfig.json")
_TRANSFORMER = ("transform.ts", "frames.ts", "queries.ts")
_PAGE = ("page.html", "page.tsx", "panels.tsx", "frames.ts", "queries.ts")


def built_schema() -> Path:
    """The JSON Schema of StrictDashboard."""
    return _built("schema", _SCHEMA, _build_schema) / "schema.json"


def built_page() -> Path:
    """A folder with page.html and its scripts."""
    return _built("page", _PAGE, _build_page)


def built_transformer() -> Path:
    """A program for node that does panels' transformations as Grafana 9.2 does."""
    return _built("transformer", _TRANSFORMER, _build_transformer) / "transform.cjs"


def _installed() -> Path:
    """A folder with node_modules, of the locked versions."""
    return _made(CACHE / f"packages-{_digest(_PACKAGES)}", _PACKAGES, _install)


def _install(folder: Path) -> None:
    # no scripts of packages; what Grafana's packages ask of each other as peers contradicts itself
    _run(folder, "npm", "ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund")


def _built(name: str, sources: Sequence[str], build: Callable[[Path], None]) -> Path:
    """Below the packages, where programs of node look for them."""
    return _made(_installed() / f"{name}-{_digest(sources)}", sources, build)


def _build_schema(folder: Path) -> None:
    arguments = (
        "--path schema.ts --type StrictDashboard --tsconfig tsconfig.json --no-type-check --out schema.json"
    )
    _run(folder, _program("ts-json-schema-generator"), *arguments.split())


def _build_page(folder: Path) -> None:
    loaders = [f"--loader:.{suffix}=dataurl" for suffix in ("svg", "woff", "woff2", "ttf")]
    defined = ['--define:process.env.NODE_ENV="production"', "--define:global=globalThis"]
    form = ["--bundle", "--format=esm", "--splitting", "--jsx=automatic", "--outdir=.", "--log-level=error"]
    _run(folder, _program("esbuild"), "page.tsx", *form, *defined, *loaders)


def _build_transformer(folder: Path) -> None:
    form = ["--bundle", "--platform=node", "--outfile=transform.cjs", "--log-level=error"]
    _run(folder, _program("esbuild"), "transform.ts", *form, "--alias:@grafana/data=grafana-data-9.2")


def _program(name: str) -> str:
    return str(_installed() / "node_modules" / ".bin" / name)


def _made(folder: Path, sources: Sequence[str], make: Callable[[Path], None]) -> Path:
    """The folder, made of the sources if it is not there: whole, or not at all. Those of other sources go."""
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        fresh = Path(name) / "made"
        fresh.mkdir()
        for source in sources:
            shutil.copy(SOURCES / source, fresh)
        make(fresh)
        fresh.rename(folder)
    for old in folder.parent.glob(f"{folder.name.partition('-')[0]}-*"):
        if old != folder:
            shutil.rmtree(old)
    return folder


def _digest(sources: Sequence[str]) -> str:
    found = hashlib.sha256()
    for source in sources:
        found.update((SOURCES / source).read_bytes())
    return found.hexdigest()[:16]


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {(done.stderr or done.stdout)[-2000:]}")
