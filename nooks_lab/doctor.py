"""Whether everything the course needs is there, and how to mend what is not."""

import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

OK, NOTICE, WRONG = "ok", "notice", "wrong"

_PYTHON = (3, 11)
_SETUP = "run make setup, or pip install -e . in the repository"
_WIDGETS = "labextensions/@jupyter-widgets/jupyterlab-manager/package.json"
_DRIVER = "int init_module(void) { return 0; }\n"


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes
    ----------
    what : str
    status : str
        ``ok``, ``notice`` (the course works without it) or ``wrong``.
    found : str
        What was found, in a few words.
    mend : str
        What to do; empty when nothing.
    """

    what: str
    status: str
    found: str
    mend: str = ""


def examine() -> list[Finding]:
    """Look at Python, packages, compiler, simulated PC, kernel spec, widgets and sandbox."""
    findings = [_python(), _packages()]
    if findings[-1].status == WRONG:
        return findings
    return [*findings, _compiler(), _machine(), _kernel_spec(), _widgets(), _sandbox()]


def healthy(findings: list[Finding]) -> bool:
    """Tell whether nothing is wrong; a notice is not."""
    return all(finding.status != WRONG for finding in findings)


def to_json(findings: list[Finding]) -> dict[str, Any]:
    """Return findings as plain data."""
    return {"ok": healthy(findings), "checks": [asdict(finding) for finding in findings]}


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= _PYTHON:
        return Finding("Python", OK, found)
    return Finding(
        "Python", WRONG, found, f"install Python {_PYTHON[0]}.{_PYTHON[1]} or later and run make setup"
    )


def _packages() -> Finding:
    """Compare what is installed with what this package requires."""
    try:
        required = importlib.metadata.requires("nooks-lab") or []
    except importlib.metadata.PackageNotFoundError:
        return Finding("packages", WRONG, "nooks-lab itself is not installed", _SETUP)
    needed = [line for line in required if "extra ==" not in line]
    problems = list(_package_problems(needed))
    if problems:
        return Finding("packages", WRONG, "; ".join(problems), _SETUP)
    return Finding("packages", OK, f"all {len(needed)}")


def _package_problems(required: list[str]) -> Iterator[str]:
    for line in required:
        name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield f"{name} is missing"
            continue
        if not all(_fits(version, condition) for condition in re.findall(r"[<>=]=?[\d.]+", line)):
            yield f"{name} is {version}, wanted {line}"


def _fits(version: str, condition: str) -> bool:
    """Tell whether a version meets one of ``==x``, ``>=x`` and ``<x``: no others stand in pyproject.toml."""
    sign, wanted = re.split(r"(?<=[<>=])(?=\d)", condition)
    have, want = _numbers(version), _numbers(wanted)
    if sign == "==":
        return have == want
    return have >= want if sign == ">=" else have < want


def _numbers(version: str) -> tuple[int, ...]:
    """Return a release's numbers without trailing zeros, so that 3.4 is 3.4.0."""
    release = re.match(r"[\d.]+", version)
    numbers = [int(part) for part in release.group().split(".") if part] if release else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _compiler() -> Finding:
    from nooks_lab.toolchain import compiler, elf

    try:
        compiled, _ = compiler.compile_uncached(compiler.open_source("doctor.c", text=_DRIVER))
        elf.read_object(compiled.data, "doctor.o")
    except (compiler.CompileError, elf.ElfError) as error:
        return Finding("compiler", WRONG, str(error), "pip install --force-reinstall ziglang")
    return Finding("compiler", OK, f"zig {compiler.zig_version()} makes i386 objects")


def _machine() -> Finding:
    import nooks_lab as nl
    from nooks_lab.toolchain.compiler import CompileError

    try:
        with nl.boot() as lab:
            lab.insmod("e1000")
    except (CompileError, OSError, MemoryError) as error:
        mend = "allow more address space (each PC reserves 1 GiB), or pip install --force-reinstall unicorn"
        return Finding("simulated PC", WRONG, str(error), mend)
    return Finding("simulated PC", OK, "boots and loads e1000")


def _kernel_spec() -> Finding:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        mend = "run python -m ipykernel install --sys-prefix"
        return Finding("notebook kernel", WRONG, "there is no kernel python3", mend)
    return Finding("notebook kernel", OK, str(spec.display_name))


def _widgets() -> Finding:
    from pathlib import Path

    from jupyter_core.paths import jupyter_path

    for folder in jupyter_path():
        package = Path(folder, _WIDGETS)
        if package.is_file():
            version = json.loads(package.read_text(encoding="utf-8")).get("version", "")
            return Finding("widgets", OK, f"JupyterLab has their manager {version}")
    mend = "pip install --force-reinstall jupyterlab_widgets"
    return Finding("widgets", WRONG, "JupyterLab lacks the manager of ipywidgets", mend)


def _sandbox() -> Finding:
    from nooks_lab.grading.sandbox import best_sandbox

    notice = best_sandbox().notice
    if notice:
        return Finding("sandbox", NOTICE, notice, "needed for grading alone: install bubblewrap")
    return Finding("sandbox", OK, "bubblewrap works")
