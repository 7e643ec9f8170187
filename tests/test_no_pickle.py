"""No line of the project loads what may run code: read from its syntax trees, and the reader itself is tested."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for folder in ("niah", "vilamp", "baselines") for path in (ROOT / folder).rglob("*.py"))
MODULES = {"pickle", "cPickle", "_pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal", "jsonpickle"}
BUILT_IN = {"eval", "exec", "__import__"}
ENDINGS = ("yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen", "read_pickle", "to_pickle")


def dangers(code):
    """Return what in some code could run what a file says, as (line, words)."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            found += [(node.lineno, words) for words in _of_call(node)]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append((node.lineno, f"from {node.module}"))
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in MODULES and node.attr != "UnpicklingError":
            found.append((node.lineno, ast.unparse(node)))  # the error's name is needed to refuse a damaged .bin
    return found


def _of_call(node):
    """Yield what is wrong with one call."""
    name = ast.unparse(node.func)
    given = {word.arg: ast.unparse(word.value) for word in node.keywords if word.arg}
    if name in BUILT_IN or name.endswith(ENDINGS):
        yield name
    if name == "torch.load" and given.get("weights_only") != "True":
        yield "torch.load without weights_only=True"
    if given.get("allow_pickle", "False") != "False":
        yield f"{name} with allow_pickle"
    if given.get("shell", "False") != "False":
        yield f"{name} through a shell"
    trusted = given.get("trust_remote_code", "False").rpartition(".")[2]
    if trusted not in ("False", "trust_remote_code"):  # passed on from the user under this name, or off
        yield f"{name} with trust_remote_code"


BAD = [
    "import pickle\npickle.load(f)",
    "from joblib import load",
    "eval(text)",
    "yaml.load(text)",
    "torch.load(path)",
    "torch.load(path, weights_only=False)",
    "numpy.load(path, allow_pickle=True)",
    "pandas.read_pickle(path)",
    "subprocess.run(text, shell=True)",
    "AutoModel.from_pretrained(name, trust_remote_code=True)",
    "AutoModel.from_pretrained(name, trust_remote_code=settings.trust)",
]
GOOD = [
    "torch.load(path, weights_only=True)",
    "numpy.load(path)",
    "yaml.safe_load(text)",
    "model.eval()",
    "AutoModel.from_pretrained(name, trust_remote_code=trust_remote_code)",
    "import pickle\ntry:\n    pass\nexcept pickle.UnpicklingError:\n    pass",
]


@pytest.mark.parametrize("code", BAD)
def test_reader_sees_what_could_run_code(code):
    assert len(dangers(code)) == 1


@pytest.mark.parametrize("code", GOOD)
def test_reader_lets_pass_what_could_not(code):
    assert dangers(code) == []


def test_no_file_of_the_project_loads_what_may_run_code():
    assert len(FILES) > 100
    found = [f"{path.relative_to(ROOT)}:{line}: {words}" for path in FILES for line, words in dangers(path.read_text())]
    assert found == []


def test_remote_code_is_off_unless_the_user_turns_it_on():
    defaults = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                every = [*node.args.args, *node.args.kwonlyargs]
                values = [*[None] * (len(node.args.args) - len(node.args.defaults)), *node.args.defaults]
                pairs = zip(every, [*values, *node.args.kw_defaults], strict=True)
                defaults += [value for name, value in pairs if name.arg == "trust_remote_code" and value is not None]
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "trust_remote_code":  # of a dataclass
                defaults.append(node.value)
    assert len(defaults) > 1 and {ast.unparse(value) for value in defaults} == {"False"}
