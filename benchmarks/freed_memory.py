"""What keeping freed memory saves: a training step with and without ``faceseg.running.memory``, side by side.

    python benchmarks/freed_memory.py --architectures deeplabv3plus unet --batch 2

Each of the two runs in a process of its own, as the C library is set once for a process; the rounds alternate between
them, so that other load on the machine meets both. The peer is the same step as glibc sets itself up. Seconds are those
of all cores, user and kernel; the times are medians over rounds.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np


def serve(architecture: str, batch: int, size: int, kept: bool) -> None:
    """Answer each line of standard input by a step, and print what it took."""
    from faceseg.quiet import import_tensorflow

    if kept:
        import_tensorflow()
    from train_step import ours

    step = ours(architecture, "resnet18", batch, size)
    for _ in range(2):
        step().numpy()
    print("ready", flush=True)
    for _ in sys.stdin:
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        step().numpy()
        after = resource.getrusage(resource.RUSAGE_SELF)
        cores = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        measured = {
            "cores": cores,
            "time": time.perf_counter() - start,
            "faults": after.ru_minflt - before.ru_minflt,
            "peak": after.ru_maxrss * 1024,
        }
        print(json.dumps(measured), flush=True)


def measure(architecture: str, batch: int, size: int, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Medians over the rounds: as glibc does by itself, and with freed memory kept."""
    command = [sys.executable, __file__, "--serve", architecture, "--batch", str(batch), "--size", str(size)]
    processes = []
    for kept in ([], ["--kept"]):
        process = subprocess.Popen([*command, *kept], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        while process.stdout.readline().strip() != "ready":
            if process.poll() is not None:
                raise SystemExit(f"the process of the step ended with {process.returncode}")
        processes.append(process)
    found: list[list[dict[str, float]]] = [[], []]
    for _ in range(rounds):
        for process, values in zip(processes, found, strict=True):
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            values.append(json.loads(process.stdout.readline()))
    for process in processes:
        process.communicate()
    alone, kept_values = ({key: float(np.median([v[key] for v in values])) for key in values[0]} for values in found)
    return alone, kept_values


def main() -> None:
    """Measure what the command line names, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", nargs="+", default=["deeplabv3plus", "unet"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--kept", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.batch, options.size, options.kept)
        return
    print("| architecture | | cores' s a step | s a step | pages mapped a step | peak MB |")
    print("|---|---|---|---|---|---|")
    for architecture in options.architectures:
        alone, kept = measure(architecture, options.batch, options.size, options.rounds)
        for label, values in (("glibc's own", alone), ("kept", kept)):
            print(
                f"| {architecture} | {label} | {values['cores']:.2f} | {values['time']:.2f} | {values['faults']:,.0f} "
                f"| {values['peak'] / 1e6:,.0f} |"
            )
        cores, seconds, peak = (kept[key] / alone[key] for key in ("cores", "time", "peak"))
        print(f"| {architecture} | ratio | {cores:.2f} | {seconds:.2f} | | {peak:.2f} |", flush=True)


if __name__ == "__main__":
    main()
