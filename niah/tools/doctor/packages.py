"""Check the installed packages: their versions against the project's requirements, and that they can be imported."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata

from niah.tools.doctor.finding import FAIL, INSTALL, OK, ROOT, WARN, Finding, probe_lines


def packages(timeout: float) -> Iterator[Finding]:
    """Check versions against the project's requirements, and that required packages can be imported."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield Finding(FAIL, "packages", "the package 'packaging' is missing, versions cannot be compared", INSTALL)
        return
    project = project_table()
    failures = 0
    modules: dict[str, str] = {}  # to import, and the package each belongs to
    module_of = _installed_modules()
    for text in project.get("dependencies", []):
        required = Requirement(text)
        if required.marker is not None and not required.marker.evaluate():
            continue
        finding = _check_version(required)
        if finding is not None:
            failures += 1
            yield finding
        elif _normalised(required.name) in module_of:
            modules[module_of[_normalised(required.name)]] = required.name
    for finding in _check_imports(modules, timeout):
        failures += 1
        yield finding
    if not failures:
        yield Finding(OK, "packages", f"{len(modules)} are of the wanted versions and can be imported")
    extras = {
        extra: [Requirement(text) for text in texts]
        for extra, texts in project.get("optional-dependencies", {}).items()
    }
    for extra in extras:
        yield from _check_extra(extra, list(_wanted(extra, extras)))


def project_table() -> dict:
    """Return the project table of pyproject.toml, or the same from the metadata of an installed project."""
    file = ROOT / "pyproject.toml"
    if file.is_file() and sys.version_info >= (3, 11):
        import tomllib

        return tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    try:
        installed = metadata.metadata("videoniah")
    except metadata.PackageNotFoundError:
        return {}
    required = [text for text in installed.get_all("Requires-Dist") or [] if not re.search(r"extra\s*==", text)]
    return {"requires-python": installed["Requires-Python"], "dependencies": required}


def is_installed(name: str) -> bool:
    """Return True if a package is installed, working or not."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _check_imports(modules: dict[str, str], timeout: float) -> Iterator[Finding]:
    """Yield a finding for each module that cannot be imported; the probe starts again after one that crashes it."""
    left = list(modules)
    while left:
        lines, failure = probe_lines(("imports", *left), timeout)
        for line in lines:
            if "fails" in line:
                yield _broken(modules[line["fails"]], line["why"])
        begun = [line["begins"] for line in lines if "begins" in line]
        if not failure:
            return
        culprit = begun[-1] if begun else left[0]
        yield _broken(modules[culprit], failure)
        left = left[left.index(culprit) + 1 :]


def _broken(name: str, why: str) -> Finding:
    """Return the finding for a package that is installed and cannot be imported."""
    return Finding(FAIL, f"package {name}", why, f"run: pip install --force-reinstall {name}")


def _check_version(required) -> Finding | None:
    """Return what is wrong with an installed package's version; None if nothing is."""
    try:
        found = metadata.version(required.name)
    except metadata.PackageNotFoundError:
        message = f"not installed, wanted {required.specifier or 'any version'}"
    else:
        if required.specifier.contains(found, prereleases=True):
            return None
        message = f"{found}, wanted {required.specifier}"
    fix = f'run: pip install "{required.name}{required.specifier}"'
    return Finding(FAIL, f"package {required.name}", message, fix)


def _wanted(extra: str, extras: dict) -> Iterator:
    """Yield what an extra needs on this machine, and what the extras of ours that it names need."""
    for wanted in extras[extra]:
        if wanted.extras and _normalised(wanted.name) == "videoniah":
            for inner in sorted(wanted.extras):
                yield from _wanted(inner, extras)
        elif wanted.marker is None or wanted.marker.evaluate():
            yield wanted


def _check_extra(extra: str, required: list) -> Iterator[Finding]:
    """Check an optional part: being absent is fine, a wrong version is a warning."""
    wrong = [finding for finding in map(_check_version, required) if finding is not None]
    absent = [finding for finding in wrong if finding.message.startswith("not installed")]
    for finding in wrong:
        if finding not in absent:
            yield Finding(WARN, f"extra {extra}", f"{_package(finding)} is {finding.message}", finding.fix)
    if absent:
        names = ", ".join(map(_package, absent))
        yield Finding(OK, f"extra {extra}", f'not installed ({names}); to have it: pip install -e ".[{extra}]"')
    elif not wrong:
        yield Finding(OK, f"extra {extra}", "installed")


def _package(finding: Finding) -> str:
    """Return the name of the package that a finding is about."""
    return finding.subject.split(" ", 1)[1]


def _installed_modules() -> dict[str, str]:
    """Return for each installed package the module to import."""
    found: dict[str, list[str]] = {}
    for module, names in metadata.packages_distributions().items():
        for name in names:
            if module.isidentifier() and not module.startswith("_"):
                found.setdefault(_normalised(name), []).append(module)
    return {name: name if name in modules else min(modules) for name, modules in found.items()}


def _normalised(name: str) -> str:
    """Return a package's name as a module would be called."""
    return re.sub(r"[-_.]+", "_", name).lower()
