"""Commands about models: what each costs, and foreign weights to begin from."""

from pathlib import Path
from typing import Annotated

import typer

from faceseg.cli.app import app, fail


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
        fail(f"there is no architecture {architecture!r}; choose one of: {', '.join(ARCHITECTURES)}")
    params = read_params().model.model_copy(update={"encoder_weights": None, "ensemble": []})
    print(f"{'architecture':14} {'backbone':18} {'parameters':>11} {'multiply-adds':>14}   at {size} pixels")
    for name in ARCHITECTURES if architecture == "all" else [architecture]:
        for encoder in backbone_names() if backbone == "all" else [backbone]:
            chosen = {"architecture": name, "backbone": encoder}
            try:
                model = build_model(params.model_copy(update=chosen), size, classes)
            except ValueError as error:
                if backbone != "all":
                    fail(str(error))
                print(f"{name:14} {encoder:18} {error}")
                continue
            cost = f"{model.count_params() / 1e6:9.2f} M {multiply_adds(model) / 1e9:12.2f} G"
            print(f"{name:14} {encoder:18} {cost}", flush=True)


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
        fail(str(error))
    known = "is" if done.published else "is not"
    print(f"{file}: sha256 {done.sha256}; its MD5 {known} the one that MatConvNet publishes for vgg-face.mat")
    if not done.own_mean:
        print(f"it holds no averageImage: took {vgg_face.MEAN}, as Oxford's demonstration does")
    print(f"{out}: for model.init_from with model.backbone vgg16; {vgg_face.LICENCE}")
