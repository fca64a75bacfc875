"""params.yaml as strict typed sections: what is not in the file does not exist, and the code has no defaults.

Each section is the whole of what a stage may read of it; ``tests/test_dvc_graph.py`` holds the stages to that.
"""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

PARAMS_FILE = Path("params.yaml")

Fraction = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0)]
ClassWeights = Literal["none", "inverse", "median"] | dict[str, Annotated[float, Field(gt=0)]]


Seed = Annotated[int, Field(ge=0, lt=2**63)]


class ParamsError(ValueError):
    """What is wrong with params.yaml, one line for each key: what came, what was expected, how to mend it."""


class Section(BaseModel):
    """A section refuses unknown keys, missing keys and values of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Limit(Section):
    train: Annotated[int, Field(ge=1)] | None
    val: Annotated[int, Field(ge=1)] | None
    test: Annotated[int, Field(ge=1)] | None


class Synthetic(Section):
    train_clips: Annotated[int, Field(ge=1)]
    val_clips: Annotated[int, Field(ge=1)]
    frames: Annotated[int, Field(ge=1)]
    seed: Seed


Level = Annotated[int, Field(ge=0, le=255)]


# YAML has lists only.
Colour = Annotated[tuple[Level, Level, Level], Field(strict=False)]


class FolderParams(Section):
    """The table of somebody's own folders: class name to id, or with rgb masks to a colour."""

    masks: Literal["index", "rgb"]
    tolerance: Annotated[int, Field(ge=0, le=441)]
    max_strays: Annotated[float, Field(ge=0, le=1)]
    classes: Annotated[dict[str, Level | Colour], Field(min_length=1, max_length=255)]

    @model_validator(mode="after")
    def _classes_are_as_masks_are(self) -> "FolderParams":
        wrong = [name for name, value in self.classes.items() if isinstance(value, int) != (self.masks == "index")]
        if wrong:
            expected = "an id, 0 to 254" if self.masks == "index" else "a colour, [r, g, b]"
            raise ValueError(
                f"classes.{wrong[0]}: got {self.classes[wrong[0]]!r}, but masks is {self.masks!r}: expected {expected}"
            )
        return self


class DatasetParams(Section):
    name: str
    source: str
    limit: Limit
    synthetic: Synthetic
    folder: FolderParams


class MergeParams(Section):
    into: str
    max_rejected: Annotated[float, Field(ge=0, le=1)]


class SplitLists(Section):
    train: list[str]
    val: list[str]
    test: list[str]

    @model_validator(mode="after")
    def _each_group_once(self) -> "SplitLists":
        named = [*self.train, *self.val, *self.test]
        twice = sorted({group for group in named if named.count(group) > 1})
        if twice:
            raise ValueError(f"the groups {', '.join(twice)} are named twice; name each in one list only")
        return self


class SplitParams(Section):
    by: Literal["own", "clip"]
    val: Fraction
    test: Fraction
    seed: Seed
    lists: SplitLists

    @model_validator(mode="after")
    def _something_left_to_train_on(self) -> "SplitParams":
        if self.by == "clip" and self.val + self.test >= 1:
            raise ValueError(
                f"val {self.val} and test {self.test} leave nothing to train on; together they must be below 1"
            )
        return self


class ResizeParams(Section):
    size: Annotated[int, Field(ge=16, le=4096)]
    fit: Literal["stretch", "pad"]
    mask_filter: Literal["nearest", "majority"]


class CacheParams(Section):
    shard_size: Annotated[int, Field(ge=1)]


Architecture = Literal["pspnet", "deeplabv3plus", "fcn", "unet", "fpn", "linknet"]


class Member(Section):
    """A further network of an ensemble."""

    architecture: Architecture
    backbone: str
    shrink: Annotated[int, Field(ge=1)]


class ModelParams(Section):
    architecture: Architecture
    backbone: str
    encoder_weights: Literal["imagenet"] | None
    encoder_trainable: bool
    input_scaling: Literal["encoder", "unit"]
    decoder: Literal["upsampling", "transpose"]
    output: Literal["softmax", "sigmoid"]
    ensemble: list[Member]
    init_from: str


class Optimizer(Section):
    name: Literal["sgd", "adam", "adamw"]
    momentum: Fraction
    nesterov: bool
    beta_1: Fraction
    beta_2: Fraction
    weight_decay: NonNegative


class Schedule(Section):
    name: Literal["constant", "inverse_time", "plateau", "cosine", "polynomial"]
    warmup_epochs: NonNegative
    final_fraction: Annotated[float, Field(ge=0, le=1)]
    decay: NonNegative
    power: Annotated[float, Field(gt=0)]
    patience: Annotated[int, Field(ge=1)]
    factor: Annotated[float, Field(gt=0, lt=1)]


class EarlyStopping(Section):
    patience: Annotated[int, Field(ge=1)] | None


class LossParams(Section):
    cross_entropy: NonNegative
    dice: NonNegative
    jaccard: NonNegative
    focal: NonNegative
    tversky: NonNegative
    lovasz: NonNegative
    focal_gamma: NonNegative
    tversky_alpha: NonNegative
    tversky_beta: NonNegative

    @model_validator(mode="after")
    def _some_loss(self) -> "LossParams":
        if self.cross_entropy + self.dice + self.jaccard + self.focal + self.tversky + self.lovasz == 0:
            raise ValueError("every weight is 0, so there is nothing to minimise; give at least one a weight above 0")
        return self


class Augment(Section):
    flip: Annotated[float, Field(ge=0, le=1)]
    rotate: Annotated[float, Field(ge=0, le=180)]
    scale: Fraction
    shift: Fraction
    brightness: Fraction
    contrast: Fraction
    saturation: Annotated[float, Field(ge=0, le=1)]
    background: Annotated[float, Field(ge=0, le=1)]


class TrainParams(Section):
    seed: Seed
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    accumulate: Annotated[int, Field(ge=1)]
    repeat_rare_below: Annotated[float, Field(gt=0, le=1)] | None
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    deterministic: bool
    learning_rate: Annotated[float, Field(gt=0)]
    optimizer: Optimizer
    schedule: Schedule
    clip_norm: Annotated[float, Field(gt=0)] | None
    average_decay: Annotated[float, Field(gt=0, lt=1)] | None
    monitor: Literal["loss", "f1", "iou", "val_loss", "val_f1", "val_iou"]
    early_stopping: EarlyStopping
    keep: Literal["best", "last"]
    loss: LossParams
    class_weights: ClassWeights
    augment: Augment

    @model_validator(mode="after")
    def _parts_of_one_size(self) -> "TrainParams":
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size is {self.batch_size}, which accumulate {self.accumulate} does not divide; "
                "make batch_size a multiple of it"
            )
        return self


# Beyond, a linear resampling would leave out pixels.
Scale = Annotated[float, Field(ge=0.5, le=2)]


class EvaluateParams(Section):
    batch_size: Annotated[int, Field(ge=1)]
    flip: bool
    scales: Annotated[list[Scale], Field(min_length=1)]
    samples: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _each_scale_once_and_the_edge_is_seen(self) -> "EvaluateParams":
        if len(set(self.scales)) < len(self.scales):
            raise ValueError(f"scales are {self.scales}; name each once")
        if min(self.scales) > 1:
            raise ValueError(
                f"scales are {self.scales}, all above 1, so none shows the edge of a picture; add 1.0 or a smaller one"
            )
        return self


class ComputeParams(Section):
    workers: Annotated[int, Field(ge=1)] | None


class Params(Section):
    dataset: DatasetParams
    merge: MergeParams
    split: SplitParams
    resize: ResizeParams
    cache: CacheParams
    model: ModelParams
    train: TrainParams
    evaluate: EvaluateParams
    compute: ComputeParams

    @model_validator(mode="after")
    def _what_validation_is_needed_for(self) -> "Params":
        if self.split.val == 0 and not self.split.lists.val:
            if self.train.schedule.name == "plateau":
                raise ValueError(
                    "split.val is 0 and train.schedule.name is 'plateau', which follows the validation loss; "
                    "set split.val above 0, or the schedule to 'cosine' or 'constant'"
                )
            if self.train.early_stopping.patience is not None and self.train.monitor.startswith("val_"):
                raise ValueError(
                    f"split.val is 0 and train.early_stopping.patience is set, which follows {self.train.monitor}; "
                    "set split.val above 0, train.monitor to a curve of the training split, or the patience to null"
                )
        return self


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: 1e-3 is a number (PyYAML wants 1.0e-3), and a key that comes twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As the base class does, after a look for a key that comes twice."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} comes twice; keep one", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse_yaml(text: str) -> Any:
    """Its values, with 1e-3 a number and a key that comes twice refused.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader


def read_params(path: Path = PARAMS_FILE) -> Params:
    """The whole of params.yaml, checked.

    Raises:
        ParamsError: naming every key that is unknown, missing or of another type, with its neighbours.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(f"{path} is not there; run from the root of the repository, where params.yaml lies") from None
    try:
        values = parse_yaml(text)
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise ParamsError(f"{path} holds {type(values).__name__}, expected sections: {', '.join(Params.model_fields)}")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        lines = [_explain(fault, values) for fault in error.errors()]
        raise ParamsError("\n".join([f"{path}:", *(f"  {line}" for line in lines)])) from None


def _explain(fault: Any, values: dict[str, Any]) -> str:
    """One pydantic fault as a sentence about the key in the file."""
    # Members of a union add their own name to the location; only keys and positions of the file are the user's.
    where: list[str] = []
    section: Any = values
    for part in fault["loc"]:
        if isinstance(part, str) and not isinstance(section, dict):
            break
        where.append(str(part))
        if isinstance(section, list):
            section = section[part] if isinstance(part, int) and part < len(section) else None
        else:
            section = section.get(part) if isinstance(section, dict) else None
    key = ".".join(where)
    if fault["type"] == "extra_forbidden":
        known = _keys_beside(where)
        near = difflib.get_close_matches(where[-1], known, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        return f"{key}: unknown key; {hint}known here: {', '.join(known)}"
    if fault["type"] == "missing":
        return f"{key}: missing; this section needs: {', '.join(_keys_beside(where))}"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{key}: {message}" if key else message
    return f"{key}: got {fault['input']!r}; {message}"


def _keys_beside(where: list[str]) -> list[str]:
    """The keys that the section around ``where`` has."""
    model: Any = Params
    for part in where[:-1]:
        # A position in a list of sections, or a section's key.
        model = get_args(model)[0] if part.isdigit() else model.model_fields[part].annotation
    return list(model.model_fields)
