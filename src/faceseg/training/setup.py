"""What a training's bits depend on beside data and parameters: seeds, precision, determinism, devices.

Call :func:`prepare` before a model is built; TensorFlow takes most of this only before its first operation.
"""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Variables of the environment that choose kernels, their precision or their number of threads.
SETTINGS = (
    "DNNL_MAX_CPU_ISA",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_SET_ONEDNN_FPMATH_MODE",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
)


def prepare(seed: int, precision: str, deterministic: bool) -> None:
    """Forget earlier models, seed every generator, set Keras' dtype policy and, if wanted, TensorFlow's determinism.

    Args:
        seed: for initial weights. Order, augmentation and dropout have their own keys, derived from it in the loop.
        precision: a Keras dtype policy: ``float32``, ``mixed_bfloat16`` or ``mixed_float16``.
        deterministic: make GPU kernels give the same bits each time, or refuse; on a CPU they do anyway.
    """
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    # Layers that nobody named are numbered, and a weights file holds their names: they count from one again, or its
    # bytes would depend on the models that this process built before.
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed % 2**32)
    keras.mixed_precision.set_dtype_policy(precision)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    if precision == "mixed_bfloat16" and not (
        tf.config.list_physical_devices("GPU") or cpu_has("avx512_bf16", "amx_bf16")
    ):
        print("mixed_bfloat16: this CPU has no bfloat16 instructions, so float32 will be faster", flush=True)


def cpu_has(*flags: str) -> bool:
    """Whether the CPU names one of the flags; False where the system does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    line = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return not set(flags).isdisjoint(line.split())


def strategy() -> tf.distribute.Strategy:
    """All GPUs of this machine together where there are several, else the one device that TensorFlow takes."""
    gpus = tf.config.list_logical_devices("GPU")
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy([gpu.name for gpu in gpus])
    return tf.distribute.get_strategy()


def surroundings(deterministic: bool) -> dict[str, Any]:
    """What else the trained bits depend on, beside data, parameters and code: no date, commit or run."""
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "unknown") for gpu in gpus]
    return {
        "devices": names or [_cpu_name()],
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        "deterministic": deterministic,
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        **{name: importlib.metadata.version(name) for name in ("h5py", "segmentation-models")},
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    kind = " ".join(
        f"{key.replace(' ', '_')}={named[key]}" for key in ("cpu family", "model", "stepping") if key in named
    )
    return f"{named.get('model name', platform.machine())} ({kind})" if kind else platform.machine()
