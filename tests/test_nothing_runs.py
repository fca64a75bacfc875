"""Nothing runs that came from outside: rules that all code of the project keeps, and proof that each rule bites."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CODE = sorted(
    path for folder in ("src", "stages", ".ci", "benchmarks", "docs") for path in (ROOT / folder).rglob("*.py")
)

# Modules whose reading runs what the bytes say.
RUNNERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal", "jsonpickle", "torch", "imp"}
# Calls by the end of their dotted name; joblib and NumPy below.
CALLS = {
    "eval": "eval",
    "exec": "exec",
    "compile": "compile",
    "os.system": "a shell",
    "os.popen": "a shell",
    "subprocess.getoutput": "a shell",
    "subprocess.getstatusoutput": "a shell",
    "extractall": "extraction",
    "extract": "extraction",
    "unpack_archive": "extraction",
    "yaml.unsafe_load": "unsafe YAML",
    "yaml.full_load": "unsafe YAML",
    "yaml.load_all": "unsafe YAML",
    "yaml.unsafe_load_all": "unsafe YAML",
    "yaml.full_load_all": "unsafe YAML",
    "joblib.load": "pickle",
    "pandas.read_pickle": "pickle",
    "pd.read_pickle": "pickle",
    "read_pickle": "pickle",
    "saved_model.load": "a foreign model",
    "models.load_model": "a foreign model",
    "saving.load_model": "a foreign model",
    "keras.load_model": "a foreign model",
    "pyfunc.load_model": "a foreign model",
    "tensorflow.load_model": "a foreign model",
    "model_from_json": "a foreign model",
    "enable_unsafe_deserialization": "a foreign model",
    "layers.TFSMLayer": "a foreign model",
    "hub.load": "a foreign model",
}
HASHED = ("sha256", "_checked_weights")  # what a function calls before it may read weights


def violations(source: str) -> list[str]:
    """What a module does that no module may, in the order of its lines."""
    tree = ast.parse(source)
    found = [*_imports(tree), *_calls(tree), *_weights(tree)]
    return [what for _, what in sorted(found)]


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] in RUNNERS or any(name == call for call in CALLS if "." in call):
                yield node.lineno, f"imports {name}"


def _calls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    safe_loaders = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and [_name(base) for base in node.bases] == ["yaml.SafeLoader"]
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = _name(node.func)
        keywords = {word.arg: word.value for word in node.keywords}
        for call, what in CALLS.items():
            if name == call or (name.endswith(f".{call}") and call not in ("eval", "exec", "compile")):
                yield node.lineno, f"{name}: {what}"
        if name == "yaml.load":
            loader = keywords.get("Loader", node.args[1] if len(node.args) > 1 else None)
            if _name(loader) not in {"yaml.SafeLoader", *safe_loaders}:
                yield node.lineno, "yaml.load: unsafe YAML"
        if name.split(".")[-1] == "YAML" and _constant(keywords.get("typ"), "rt") not in ("rt", "safe"):
            yield node.lineno, "YAML: unsafe YAML"
        if name in ("np.load", "numpy.load") and _constant(keywords.get("allow_pickle"), True) is not False:
            yield node.lineno, f"{name}: allow_pickle is not False"
        if "shell" in keywords and _constant(keywords["shell"], True) is not False:
            yield node.lineno, f"{name}: a shell"
        if "safe_mode" in keywords and _constant(keywords["safe_mode"], False) is not True:
            yield node.lineno, f"{name}: safe_mode is not True"


def _weights(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Weights that are read in a function which did not compare their hash before."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for scope in [tree, *functions]:
        own = [node for node in _within(scope) if isinstance(node, ast.Call)]
        hashed = [node.lineno for node in own if _name(node.func).split(".")[-1] in HASHED]
        for node in own:
            if _name(node.func).endswith(".load_weights") and not any(line < node.lineno for line in hashed):
                yield node.lineno, "load_weights: without a look at their hash before"


def _within(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope without those of the functions in it."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _within(node)


def _name(node: ast.AST | None) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return f"{_name(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def _constant(node: ast.AST | None, otherwise: object) -> object:
    return node.value if isinstance(node, ast.Constant) else otherwise


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_runs_what_came_from_outside(path: Path) -> None:
    assert violations(path.read_text(encoding="utf-8")) == []


BAD = {
    "import pickle": "imports pickle",
    "from pickle import loads": "imports pickle",
    "import torch": "imports torch",
    "from os import system": "imports os.system",
    "import joblib\njoblib.load('model')": "joblib.load: pickle",
    "np.load(path)": "np.load: allow_pickle is not False",
    "np.load(path, allow_pickle=True)": "np.load: allow_pickle is not False",
    "np.load(path, allow_pickle=flag)": "np.load: allow_pickle is not False",
    "yaml.load(text)": "yaml.load: unsafe YAML",
    "yaml.load(text, yaml.Loader)": "yaml.load: unsafe YAML",
    "yaml.load(text, Loader=yaml.UnsafeLoader)": "yaml.load: unsafe YAML",
    "yaml.full_load(text)": "yaml.full_load: unsafe YAML",
    "class L(yaml.Loader): pass\nyaml.load(text, L)": "yaml.load: unsafe YAML",
    "YAML(typ='unsafe').load(text)": "YAML: unsafe YAML",
    "archive.extractall(folder)": "archive.extractall: extraction",
    "zipfile.ZipFile(path).extract(name)": ".extract: extraction",
    "shutil.unpack_archive(path)": "shutil.unpack_archive: extraction",
    "eval(text)": "eval: eval",
    "exec(text)": "exec: exec",
    "os.system(command)": "os.system: a shell",
    "subprocess.run(command, shell=True)": "subprocess.run: a shell",
    "subprocess.run(command, shell=flag)": "subprocess.run: a shell",
    "keras.saving.load_model(path)": "keras.saving.load_model: a foreign model",
    "tf.keras.models.load_model(path)": "tf.keras.models.load_model: a foreign model",
    "tf.saved_model.load(path)": "tf.saved_model.load: a foreign model",
    "f(path, safe_mode=False)": "f: safe_mode is not True",
    "keras.config.enable_unsafe_deserialization()": "keras.config.enable_unsafe_deserialization: a foreign model",
    "model.load_weights(path)": "load_weights: without a look at their hash before",
    "def f():\n  model.load_weights(path)\n  sha256(path)": "load_weights: without a look at their hash before",
    "def f():\n  sha256(path)\ndef g():\n  m.load_weights(p)": "load_weights: without a look at their hash before",
}


@pytest.mark.parametrize("source", BAD)
def test_each_rule_bites(source: str) -> None:
    assert BAD[source] in violations(source)


@pytest.mark.parametrize(
    "source",
    [
        "yaml.safe_load(text)",
        "class L(yaml.SafeLoader): pass\nyaml.load(text, L)",
        "YAML().load(text)",
        "np.load(path, allow_pickle=False)",
        "archive.extractfile(member)",
        "re.compile(pattern)",
        "subprocess.run(command)",
        "def f():\n  if sha256(p) != d: raise E\n  m.load_weights(p)",
    ],
)
def test_what_is_safe_passes(source: str) -> None:
    assert violations(source) == []


def test_no_parameter_gets_into_a_command() -> None:
    """DVC gives a stage's command to a shell, and params.yaml may come from a branch that nobody has read."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert [stage["cmd"] for stage in stages.values()] == [f"python -m stages.{name}" for name in stages]
