"""dvc.yaml against the code: deps against each stage's real import closure, params against what the stage reads.

DVC does not see Python imports, so an undeclared module would leave a stage "up to date" with stale outputs.
"""

import ast
import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from faceseg.params import Params

ROOT = Path(__file__).parents[1]
STAGES = ("download", "merge", "resize", "cache", "train", "evaluate")
# Nothing in these may change an output; the package's own __init__ is a docstring, which a test holds it to.
EXEMPT = {"__init__.py", "params.py", "progress.py", "quiet.py"}
EXEMPT_FOLDER = "src/faceseg/running/"
# What a stage hands to the tracker goes to the journal and to MLflow, and nothing comes back: its imports end there.
EDGE = "tracking"
DESCRIPTION = "src/faceseg/datasets/${dataset.name}.yaml"


def imported_files(path: Path, src: Path) -> set[Path]:
    """The files of faceseg that ``path`` imports, also inside functions, with the packages around them."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] != "faceseg":
                continue
            for length in range(1, len(parts) + 1):
                base = src.joinpath(*parts[:length])
                found |= {file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()}
    return found


def closure(path: Path, src: Path) -> set[Path]:
    """All files of faceseg that importing ``path`` brings in, directly or not."""
    seen: set[Path] = set()
    todo = [path]
    while todo:
        for file in imported_files(todo.pop(), src) - seen:
            if file.is_relative_to(src / "faceseg" / EDGE):
                continue
            seen.add(file)
            todo.append(file)
    return seen


def undeclared(stage: str, root: Path) -> list[str]:
    """Files that the stage imports and that none of its deps covers, as paths from the root."""
    deps = yaml.safe_load((root / "dvc.yaml").read_text())["stages"][stage]["deps"]
    script = root / "stages" / f"{stage}.py"
    files = {script, root / "stages" / "__init__.py", *closure(script, root / "src")}
    names = {file.relative_to(root).as_posix() for file in files}
    names -= {f"src/faceseg/{name}" for name in EXEMPT}
    names = {name for name in names if not name.startswith(EXEMPT_FOLDER)}
    missing = [name for name in names if not any(name == dep or name.startswith(f"{dep}/") for dep in deps)]
    if "src/faceseg/sources/catalog.py" in names and DESCRIPTION not in deps:
        missing.append(DESCRIPTION)
    return sorted(missing)


def superfluous(stage: str, root: Path) -> list[str]:
    """Code deps of the stage in which it imports nothing."""
    definition = yaml.safe_load((root / "dvc.yaml").read_text())["stages"][stage]
    script = root / "stages" / f"{stage}.py"
    files = {file.relative_to(root).as_posix() for file in closure(script, root / "src")}
    code = [dep for dep in definition["deps"] if dep.startswith("src/") and dep != DESCRIPTION]
    return [dep for dep in code if not any(file.startswith(f"{dep}/") or file == dep for file in files)]


def params_read(stage: str, root: Path) -> set[str]:
    """The leaves of params.yaml that the stage reads, as dotted names; a section passed on whole is all its leaves."""
    tree = ast.parse((root / "stages" / f"{stage}.py").read_text())
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    read: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in inner or not isinstance(node, ast.Attribute):
            continue
        names: list[str] = []
        value: ast.expr = node
        while isinstance(value, ast.Attribute):
            names.insert(0, value.attr)
            value = value.value
        if isinstance(value, ast.Name) and value.id == "params":
            read |= leaves(names)
    return {name for name in read if not name.startswith("compute.")}


def leaves(names: list[str]) -> set[str]:
    """The parameters at or under a dotted name; what follows a leaf (a method, say) is not part of it."""
    model: Any = Params
    for depth, name in enumerate(names):
        if not _is_section(model) or name not in model.model_fields:
            return {".".join(names[:depth])} if not _is_section(model) else _under(model, names[:depth])
        model = model.model_fields[name].annotation
    return _under(model, names)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _under(model: Any, names: list[str]) -> set[str]:
    if not _is_section(model):
        return {".".join(names)}
    return {leaf for name, field in model.model_fields.items() for leaf in _under(field.annotation, [*names, name])}


@pytest.mark.parametrize("stage", STAGES)
def test_deps_cover_the_import_closure(stage: str) -> None:
    assert undeclared(stage, ROOT) == []


@pytest.mark.parametrize("stage", STAGES)
def test_no_dep_is_superfluous(stage: str) -> None:
    assert superfluous(stage, ROOT) == []


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_those_that_the_stage_reads(stage: str) -> None:
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]["params"]
    assert params_read(stage, ROOT) == {leaf for name in declared for leaf in leaves(name.split("."))}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_guards_the_outs_that_dvc_knows(stage: str) -> None:
    """It holds their lock and removes what a killed run left half written in them."""
    outs = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]["outs"]
    module = importlib.import_module(f"stages.{stage}")
    assert list(module.OUTS) == [out if isinstance(out, str) else next(iter(out)) for out in outs]


def test_leaves_of_sections_and_of_single_parameters() -> None:
    assert leaves(["merge"]) == {"merge.into", "merge.max_rejected"}
    assert leaves(["merge", "into", "upper"]) == {"merge.into"}
    assert leaves(["dataset", "limit", "train"]) == {"dataset.limit.train"}
    assert {"train.loss.dice", "train.seed"} < leaves(["train", "model_dump"])


def test_only_the_edges_read_params_yaml() -> None:
    readers = [
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "src").rglob("*.py")
        if "read_params" in file.read_text() and file.name != "params.py"
    ]
    assert readers
    assert all(reader.startswith("src/faceseg/cli/") for reader in readers)


def test_every_stage_is_known_here() -> None:
    assert tuple(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]) == STAGES


def test_the_package_itself_holds_no_code() -> None:
    body = ast.parse((ROOT / "src/faceseg/__init__.py").read_text()).body
    assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


@pytest.mark.parametrize(
    ("file", "line", "stage", "missing"),
    [
        ("stages/train.py", "import faceseg.evaluation.report", "train", "src/faceseg/evaluation/report.py"),
        ("src/faceseg/store/packs.py", "from faceseg.models import blocks", "resize", "src/faceseg/models/blocks.py"),
        ("src/faceseg/progress.py", "from faceseg.models import build", "download", "src/faceseg/models/build.py"),
    ],
)
def test_an_undeclared_import_is_found(tmp_path: Path, file: str, line: str, stage: str, missing: str) -> None:
    for name in ("src", "stages"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / file).write_text((tmp_path / file).read_text() + f"\n\ndef later():\n    {line}\n")
    assert missing in undeclared(stage, tmp_path)


def test_data_stages_never_import_tensorflow() -> None:
    for stage in ("download", "merge", "resize", "cache"):
        for file in closure(ROOT / "stages" / f"{stage}.py", ROOT / "src"):
            top = [
                node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
            ]
            names = {alias.name for node in top for alias in node.names} | {getattr(node, "module", "") for node in top}
            assert not any(str(name).split(".")[0] in ("tensorflow", "keras") for name in names), file


def test_each_metrics_file_is_an_uncached_out_of_one_stage() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    outs = [out for stage in stages.values() for out in stage["outs"]]
    uncached = [name for out in outs if isinstance(out, dict) for name, how in out.items() if how == {"cache": False}]
    assert len(uncached) == len(set(uncached))
    assert all(name.startswith("metrics/") for name in uncached)
    assert not any(isinstance(out, str) and out.startswith("metrics") for out in outs)
