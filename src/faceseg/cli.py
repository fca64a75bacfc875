"""The ``faceseg`` command: what DVC and MLflow lack."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(add_completion=False, no_args_is_help=True, help="What DVC and MLflow lack, for a faceseg pipeline.")
verify = typer.Typer(invoke_without_command=True)
app.add_typer(verify, name="verify")

RAW = Path("data/raw/dataset.zip")


@app.command()
def check() -> None:
    """Check params.yaml and the dataset's source before DVC starts: DVC deletes a stage's outputs before it runs."""
    from faceseg.params import read_params

    try:
        _check(read_params())
    except (ValueError, OSError) as error:
        _fail(str(error))


def _check(params: Any) -> None:
    from faceseg.quiet import import_tensorflow
    from faceseg.sources import catalog
    from faceseg.sources.fetch import check_source
    from faceseg.tracking import repository_root

    dataset = catalog.load(params.dataset.name, params.dataset.folder)
    merge = dataset.merge(params.merge.into)
    check_source(dataset, params.dataset.source, repository_root())
    import_tensorflow()
    from faceseg.models.build import build_model
    from faceseg.training.initial import check_initial, initial_folder

    check_initial(initial_folder(params.model.init_from, Path.cwd()), params.model)
    build_model(params.model, params.resize.size, len(merge.classes))


@app.command()
def summary(
    without: Annotated[list[str] | None, typer.Option(help="a test clip to leave out, as often as wanted")] = None,
) -> None:
    """Show the scores of the evaluated model, and where its pictures and curves are."""
    from faceseg import scores

    try:
        if without:
            scores.show_without(set(without), Console())
        else:
            scores.show(Console())
    except ValueError as error:
        _fail(str(error))


@app.command()
def datasets(name: Annotated[str | None, typer.Argument(help="show the label table of this one")] = None) -> None:
    """List the datasets that have a description, with what of them is on this machine; or show the labels of one."""
    from faceseg import dataset_tables
    from faceseg.params import read_params
    from faceseg.sources import catalog
    from faceseg.tracking import repository_root

    console = Console()
    try:
        folder = read_params().dataset.folder
        if name is None:
            console.print(dataset_tables.overview(folder, repository_root()))
            return
        dataset = catalog.load(name, folder)
    except (ValueError, OSError) as error:
        _fail(str(error))
    for key, value in dataset_tables.facts(dataset, repository_root()):
        console.print(f"[bold]{key}[/bold]  ", end="")
        console.print(value, markup=False, highlight=False, soft_wrap=True)
    console.print(dataset_tables.labels(dataset))


@app.command()
def folder(
    images: Annotated[Path, typer.Argument(help="a folder of pictures")],
    labels: Annotated[Path, typer.Argument(help="a folder of masks of the same names")],
    epochs: Annotated[int | None, typer.Option("-e", "--epochs", min=1, help="default: as params.yaml says")] = None,
) -> None:
    """Train on two folders: packs them, writes params.yaml accordingly, runs the pipeline and shows the scores."""
    from faceseg import folder as own
    from faceseg.params import PARAMS_FILE, read_params
    from faceseg.tracking import repository_root

    root = repository_root()
    try:
        changes = own.prepare(images, labels, epochs, root, read_params(root / PARAMS_FILE))
    except (ValueError, OSError) as error:
        _fail(str(error))
    print("params.yaml says now:")
    for key, value in changes.items():
        print(f"  {key}: {value}")
    if status := own.repro(root):
        raise typer.Exit(status)
    summary()


@app.command()
def models(
    architecture: str = typer.Option("all", help="One of them, or all."),
    backbone: str = typer.Option("all", help="One encoder, or all: some minutes for each architecture."),
    size: int = typer.Option(256, help="Side of the picture in pixels."),
    classes: int = typer.Option(8, help="Classes of the merge."),
) -> None:
    """List architectures and encoders with their parameters and multiply-adds."""
    from faceseg.params import read_params
    from faceseg.quiet import import_tensorflow

    import_tensorflow()
    from faceseg.models.backbones import backbone_names
    from faceseg.models.build import ARCHITECTURES, build_model
    from faceseg.models.costs import multiply_adds

    if architecture not in ("all", *ARCHITECTURES):
        _fail(f"there is no architecture {architecture!r}; choose one of: {', '.join(ARCHITECTURES)}")
    print(f"{'architecture':14} {'backbone':18} {'parameters':>11} {'multiply-adds':>14}   at {size} pixels")
    for name in ARCHITECTURES if architecture == "all" else [architecture]:
        for encoder in backbone_names() if backbone == "all" else [backbone]:
            chosen = {"architecture": name, "backbone": encoder, "encoder_weights": None}
            try:
                model = build_model(read_params().model.model_copy(update=chosen), size, classes)
            except ValueError as error:
                if backbone != "all":
                    _fail(str(error))
                print(f"{name:14} {encoder:18} {error}")
                continue
            cost = f"{model.count_params() / 1e6:9.2f} M {multiply_adds(model) / 1e9:12.2f} G"
            print(f"{name:14} {encoder:18} {cost}", flush=True)


@app.command()
def recipe(
    name: str = typer.Argument("", help="Of recipes/; without one they are listed."),
    source: str = typer.Option("", help="dataset.source on this machine; as params.yaml has it where it is left out."),
    init_from: str = typer.Option(
        "", help="model.init_from on this machine; as the recipe has it where it is left out."
    ),
) -> None:
    """Run a recipe as a DVC experiment of its name."""
    import yaml

    from faceseg import recipes
    from faceseg.params import PARAMS_FILE, Params

    here = Path.cwd()
    if not name:
        table = Table("recipe", "what it is", "score")
        for known in recipes.recipe_names(here):
            about = recipes.read_recipe(known, here)
            table.add_row(known, about.title, about.score)
        Console().print(table)
        return
    try:
        workspace = yaml.safe_load(PARAMS_FILE.read_text(encoding="utf-8"))
        about = recipes.read_recipe(name, here)
        if init_from:
            about = recipes.begun_from(about, init_from)
        values = recipes.recipe_values(about, recipes.committed_params(here), source or workspace["dataset"]["source"])
        _check(Params.model_validate(values))
        status = recipes.run_experiment(name, recipes.overrides(values, workspace), here)
    except (ValueError, OSError) as error:
        _fail(str(error))
    raise typer.Exit(status)


@app.command("cross-validate")
def cross_validate(
    name: Annotated[str, typer.Argument(help="of recipes/")],
    source: Annotated[str, typer.Option(help="dataset.source on this machine; as params.yaml has it without")] = "",
    folds: Annotated[int, typer.Option(help="parts that the training clips are dealt into")] = 4,
    only: Annotated[list[int] | None, typer.Option(help="number of a fold to run, as often as wanted")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", "-S", help="key=value over the recipe's")] = None,
    folder: Annotated[Path, typer.Option(help="where its data and models go")] = Path(".faceseg/cross-validation"),
) -> None:
    """Score a recipe on held-out pictures of its training split, at native size; test pictures are not looked at."""
    import yaml

    from faceseg import recipes
    from faceseg.params import PARAMS_FILE, Params
    from faceseg.quiet import import_tensorflow

    here = Path.cwd()
    try:
        workspace = yaml.safe_load(PARAMS_FILE.read_text(encoding="utf-8"))
        about = recipes.with_changes(recipes.read_recipe(name, here), change or [])
        values = recipes.recipe_values(about, recipes.committed_params(here), source or workspace["dataset"]["source"])
        import_tensorflow()
        from faceseg import cross_validation

        params = Params.model_validate(values)
        done = []
        for fold in cross_validation.cross_validate(params, folds, only or [], folder, here):
            done.append(fold)
            print(cross_validation.line(f"fold {fold.number}", *cross_validation.pooled([fold])), flush=True)
        print(cross_validation.line(f"{len(done)} of {folds} folds", *cross_validation.pooled(done)))
    except (ValueError, OSError) as error:
        _fail(str(error))


@app.command("convert-vgg-face")
def convert_vgg_face(
    file: Annotated[
        Path, typer.Argument(help="vgg-face.mat of MatConvNet's page, or vgg_face.mat of Oxford's archive")
    ],
    out: Annotated[Path, typer.Argument(help="a folder, for model.init_from")],
    sha256: Annotated[str | None, typer.Option(help="refuse a file with another one")] = None,
) -> None:
    """Convert VGG-Face's convolutions into a start for VGG-16 encoders."""
    from faceseg.quiet import import_tensorflow

    import_tensorflow()
    from faceseg import vgg_face

    try:
        done = vgg_face.convert(file, out, sha256)
    except (ValueError, OSError) as error:
        _fail(str(error))
    known = "is" if done.published else "is not"
    print(f"{file}: sha256 {done.sha256}; its MD5 {known} the one that MatConvNet publishes for vgg-face.mat")
    if not done.own_mean:
        print(f"it holds no averageImage: took {vgg_face.MEAN}, as Oxford's demonstration does")
    print(f"{out}: for model.init_from with model.backbone vgg16; {vgg_face.LICENCE}")


@app.command()
def sync() -> None:
    """Deliver to MLflow what it missed while it could not be reached."""
    from faceseg.tracking import repository_root
    from faceseg.tracking import sync as deliver_all

    delivery, failures = deliver_all(repository_root())
    print(f"{delivery.lines} lines delivered", *delivery.notes, sep="\n")
    if failures:
        _fail("\n".join(["not delivered (the journal keeps them):", *failures]))


@app.command()
def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
) -> None:
    """Remove the checkpoints of trainings that were not ended; `dvc repro` of the same would go on from them."""
    from faceseg.tracking import repository_root
    from faceseg.training.checkpoint import remove_run, runs_in

    removed = 0
    for run in runs_in(repository_root() / ".faceseg" / "runs"):
        line = f"{run.path.name}  epoch {run.epoch}, {run.bytes:,} bytes"
        if run.running or not (dry_run or remove_run(run.path)):
            print(f"{line}: stays, a process trains in it")
            continue
        removed += run.bytes
        print(line)
    print(f"{removed:,} bytes {'would be' if dry_run else 'were'} removed")


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="of 127.0.0.1")] = 5000,
    browser: Annotated[bool, typer.Option(help="open it where there is a screen")] = True,
) -> None:
    """Show the trainings in MLflow, columns and charts chosen, on this machine alone; Ctrl-C ends it."""
    from faceseg import dashboard
    from faceseg.tracking import repository_root
    from faceseg.tracking.store import NoAnswerError, Store, experiment_name, tracking_uri

    root = repository_root()
    store = Store(root)
    try:
        store.open()
        dashboard.show(store.client, experiment_name(), tracking_uri(root), port, browser)
    except (dashboard.DashboardError, NoAnswerError) as error:
        _fail(str(error))


@app.command()
def compare(
    base: Annotated[str, typer.Argument(help="A git revision or the name of an experiment.")],
    head: Annotated[str, typer.Argument(help="The same, or the workspace.")] = "workspace",
    markdown: Annotated[bool, typer.Option("--markdown", help="For a pull request.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
    fail_if_worse: Annotated[bool, typer.Option("--fail-if-worse", help="Exit code 1 when head is worse.")] = False,
) -> None:
    """Compare the scores of two revisions or experiments: better, worse, or within noise.

    Exit code 2: they cannot be compared.
    """
    import json

    from faceseg.evaluation import comparison_page
    from faceseg.evaluation.compare import ComparisonError
    from faceseg.evaluation.compare import compare as compare_measured
    from faceseg.evaluation.revisions import read_revision

    if markdown and as_json:
        _fail("--markdown and --json are two formats; give one", code=2)
    try:
        sides = [read_revision(name, Path.cwd()) for name in (base, head)]
        comparison = compare_measured(sides[0].measured, sides[1].measured)
    except ComparisonError as error:
        _fail(str(error), code=2)
    if markdown:
        print(comparison_page.to_markdown(comparison, *sides), end="")
    elif as_json:
        print(json.dumps(comparison_page.to_json(comparison, *sides), indent=2, allow_nan=False))
    else:
        Console().print(comparison_page.to_terminal(comparison, *sides))
    if fail_if_worse and comparison.verdict == "worse":
        raise typer.Exit(1)


@verify.callback()
def verify_all(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
) -> None:
    """Read all outputs, DVC's cache, checkpoints and journals: are they as they were written? 1 when a file is not."""
    if context.invoked_subcommand is not None:
        return
    from faceseg.params import read_params
    from faceseg.verification.artefacts import verify_artefacts

    try:
        verified = verify_artefacts(Path.cwd(), read_params().compute.workers)
    except (ValueError, OSError) as error:
        _fail(str(error))
    if as_json:
        print(json.dumps(verified.to_dict(), indent=2, ensure_ascii=False))
    else:
        verified.show(Console())
    if not verified.passed:
        raise typer.Exit(1)


@verify.command("model")
def verify_model(
    other: Annotated[
        Path | None,
        typer.Argument(help="Another model's folder or model.json; left out: what would be trained here now."),
    ] = None,
    models: Annotated[Path, typer.Option(help="The folder of the model.")] = Path("models"),
    as_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
) -> None:
    """Explain why two models differ: name what their bits depend on and what is not the same; 1 when they differ."""
    from faceseg.params import read_params
    from faceseg.verification.model import compare_models, trained_here

    try:
        comparison = compare_models(models, trained_here(read_params()) if other is None else other)
    except (ValueError, OSError) as error:
        _fail(str(error))
    if as_json:
        print(json.dumps(comparison.to_dict(), indent=2, ensure_ascii=False))
    else:
        comparison.show(Console())
    if not comparison.same:
        raise typer.Exit(1)


@verify.command("data")
def verify_data(
    archive: Annotated[Path, typer.Option(help="Of the download stage, or any of its layout.")] = RAW,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON, for programs.")] = False,
    every: Annotated[bool, typer.Option("--all", help="A line for every finding, not for the first 50 alone.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Notes fail as well.")] = False,
) -> None:
    """Check every picture and mask, and what lies between splits; 1 when something spoils training or its measure."""
    from faceseg.params import read_params
    from faceseg.sources import catalog
    from faceseg.verification.data import verify_data as verified

    try:
        params = read_params()
        dataset = catalog.load(params.dataset.name, params.dataset.folder)
        merge = dataset.merge(params.merge.into)
        report = verified(archive, dataset, merge, params.split, params.dataset.limit, params.compute.workers)
    except (ValueError, OSError) as error:
        _fail(str(error))
    if as_json:
        print(json.dumps(report.to_dict(strict), indent=2, ensure_ascii=False))
    else:
        report.show(Console(), None if every else 50)
    if not report.passed(strict):
        raise typer.Exit(1)


def _fail(message: str, code: int = 1) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(code)
