"""Check installed packages: versions against the project's ranges, and that what is needed can be imported."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata

from niah.tools.doctor.finding import FAIL, INSTALL, OK, ROOT, WARN, Finding, tried

DISPENSABLE = ("decord",)  # a second decoder; nothing needs it


def packages(timeout: float) -> Iterator[Finding]:
    """Check versions against the project's ranges, and that what is needed can be imported."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield Finding(FAIL, "packages", "the package 'packaging' is missing, versions cannot be compared", INSTALL)
        return
    project, bad = project_table(), 0
    modules: dict[str, str] = {}  # to import, and the package each belongs to
    known = _modules()
    for text in project.get("dependencies", []):
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate():
            line = _version(wanted)
            bad += line is not None
            if line is not None:
                yield line
            elif _plain(wanted.name) in known:
                modules[known[_plain(wanted.name)]] = wanted.name
    for line in _imported(modules, timeout):
        bad += 1
        yield line
    if not bad:
        yield Finding(OK, "packages", f"{len(modules)} are of the wanted versions and can be imported")
    for extra, texts in project.get("optional-dependencies", {}).items():
        yield from _extra(extra, [Requirement(text) for text in texts])


def project_table() -> dict:
    """Return the project's table of pyproject.toml; of a project installed otherwise, the same from its metadata."""
    file = ROOT / "pyproject.toml"
    if file.is_file() and sys.version_info >= (3, 11):
        import tomllib

        return tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    try:
        about = metadata.metadata("videoniah")
    except metadata.PackageNotFoundError:
        return {}
    needs = [text for text in about.get_all("Requires-Dist") or [] if not re.search(r"extra\s*==", text)]
    return {"requires-python": about["Requires-Python"], "dependencies": needs}


def installed(name: str) -> bool:
    """Tell whether a package is installed, working or not."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _imported(modules: dict[str, str], timeout: float) -> Iterator[Finding]:
    """Yield a line for each module that cannot be imported, those included that end their interpreter."""
    left = list(modules)
    while left:
        told, ended = tried(("imports", *left), timeout)
        for line in told:
            if "fails" in line:
                yield _broken(modules[line["fails"]], line["why"])
        begun = [line["begins"] for line in told if "begins" in line]
        if not ended:
            return
        culprit = begun[-1] if begun else left[0]
        yield _broken(modules[culprit], ended)
        left = left[left.index(culprit) + 1 :]


def _broken(name: str, why: str) -> Finding:
    """Return the line of a package that is installed and cannot be imported."""
    mend = f"run: pip install --force-reinstall {name}"
    if name in DISPENSABLE:
        return Finding(WARN, f"package {name}", why, f"nothing needs it; to have it, {mend}")
    return Finding(FAIL, f"package {name}", why, mend)


def _version(wanted) -> Finding | None:
    """Return what is wrong with an installed package's version; None if nothing is."""
    try:
        found = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        said, status = f"not installed, wanted {wanted.specifier or 'any version'}", FAIL
    else:
        if wanted.specifier.contains(found, prereleases=True):
            return None
        said, status = f"{found}, wanted {wanted.specifier}", FAIL
    status = WARN if wanted.name in DISPENSABLE else status
    return Finding(status, f"package {wanted.name}", said, f'run: pip install "{wanted.name}{wanted.specifier}"')


def _extra(extra: str, wanted: list) -> Iterator[Finding]:
    """Tell whether an optional part is there: absent is no fault, the wrong version is."""
    wrong = [line for line in map(_version, wanted) if line is not None]
    absent = [line for line in wrong if line.message.startswith("not installed")]
    for line in wrong:
        if line not in absent:
            yield Finding(WARN, f"extra {extra}", f"{line.subject.split(' ', 1)[1]} is {line.message}", line.fix)
    if absent:
        names = ", ".join(line.subject.split(" ", 1)[1] for line in absent)
        yield Finding(OK, f"extra {extra}", f'not installed ({names}); to have it: pip install -e ".[{extra}]"')
    elif not wrong:
        yield Finding(OK, f"extra {extra}", "installed")


def _modules() -> dict[str, str]:
    """Return for each installed package the module that is imported of it."""
    found: dict[str, list[str]] = {}
    for module, names in metadata.packages_distributions().items():
        for name in names:
            if module.isidentifier() and not module.startswith("_"):
                found.setdefault(_plain(name), []).append(module)
    return {name: name if name in modules else min(modules) for name, modules in found.items()}


def _plain(name: str) -> str:
    """Return a package's name as a module would be called."""
    return re.sub(r"[-_.]+", "_", name).lower()
