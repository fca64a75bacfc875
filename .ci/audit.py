"""Known vulnerabilities in the locked packages, and secrets in files that git keeps; 1 when there is a finding.

Where the database of vulnerabilities cannot be reached, the answer is that it was not asked, and no failure: the same
script runs on machines without a network. Secrets are looked for on this machine alone.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent

# Known, without a release that mends them, and why they do no harm here. One with such a release is reported again.
ACCEPTED = {
    # diskcache, through DVC, unpickles what lies in its folder; ours has mode 0700 (docs/security.md).
    "GHSA-w8v5-vhqr-4h9v": "DVC's database of file dates lies in .dvc/state, which nobody else can write to",
}
# How uv says that it had no network, or no database at its other end.
UNREACHABLE = re.compile(r"error sending request|dns error|requires network|offline|timed out|failed to fetch", re.I)
# Lines that name a checksum: it is public, and looks like a key.
CHECKSUM = r"(sha256|digest|md5|commit)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements.lock")
    parser.add_argument("--service-url", help="of a database that speaks OSV's protocol")
    parser.add_argument("--repository", type=Path, default=ROOT)
    given = parser.parse_args()
    return max(vulnerabilities(given.lock, given.service_url), secrets(given.repository))


def vulnerabilities(lock: Path, service_url: str | None) -> int:
    """Ask OSV about every package of the lock, at its version."""
    packages = pinned(lock.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "locked.py"
        names = "".join(f"#   {package!r},\n" for package in packages)
        script.write_text(f'# /// script\n# requires-python = ">=3.11,<3.14"\n# dependencies = [\n{names}# ]\n# ///\n')
        command = [BIN / "uv", "audit", "--quiet", "--preview-features", "audit-command", "--script", script]
        for accepted in ACCEPTED:
            command += ["--ignore-until-fixed", accepted]
        if service_url:
            command += ["--service-url", service_url]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = f"{done.stdout}{done.stderr}".strip()
    if done.returncode == 0:
        print(f"vulnerabilities: none known in {len(packages)} packages")
        return 0
    if done.returncode > 1 and UNREACHABLE.search(said):
        print(f"vulnerabilities: not checked: the database cannot be reached ({said.splitlines()[-1].strip()})")
        return 0
    print(f"vulnerabilities: found in {lock.name}, or not to be looked for (uv's status {done.returncode}):\n{said}")
    return 1


def pinned(lock: str) -> list[str]:
    """The requirements of a lock, ``name==version`` with its marker, without their hashes."""
    lines = lock.replace("\\\n", " ").splitlines()
    return [line.split("--hash")[0].strip().replace('"', "'") for line in lines if re.match(r"[A-Za-z0-9]", line)]


def secrets(repository: Path) -> int:
    """Look for keys, tokens and passwords in all files that git keeps."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=True)
    files = [name for name in listed.stdout.split("\0") if name and (repository / name).is_file()]
    # Without verification: it would send what it finds to where it seems to belong.
    command = [BIN / "detect-secrets-hook", "--no-verify", "--exclude-lines", CHECKSUM, *files]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        print(f"secrets: none in {len(files)} files")
        return 0
    print("secrets: found. Take them out and make them invalid, for git keeps what was committed.")
    print(f"{done.stdout}{done.stderr}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
