#!/usr/bin/env python3
"""Fetches llama.cpp's vocabularies and chat templates into build/vocabularies, for tests that compare with them if they
are there. llama.cpp's converter of Hugging Face folders goes to build/llama.cpp, for tests/oracles/llamacpp_folders.py.

They are in the source package of llama-cpp-python 0.3.36 (MIT, 77 MB, pinned by its SHA-256), which has llama.cpp's
models/: vocabularies without weights; for most of these, texts that are hard to tokenize, with the expected tokens; and
chat templates. Of the package's code only the converter is ever run, by tests/oracles/llamacpp_folders.py (pip also
runs the build backend that the package names, to read its metadata). If the download fails, this says so and exits
with 0. Tests that need the vocabularies are then skipped.
"""
import os
import subprocess
import sys
import tarfile

from model import ROOT, pip

FOLDER = os.path.join(ROOT, "build", "vocabularies")
PACKAGE = ("llama-cpp-python==0.3.36 "
           "--hash=sha256:832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e")
LLAMA_CPP = "/vendor/llama.cpp/"  # the folder of llama.cpp within the package
MODELS, CONVERTER = "models/", ("conversion/", "gguf-py/gguf/")


def place(name):
    """Where a file of llama.cpp's folder is written; None: it is not needed."""
    parts = name.split("/")
    if ".." in parts:
        return None
    if name.startswith(MODELS) and len(parts) <= 3:
        return os.path.join(FOLDER, name[len(MODELS):])
    return os.path.join(ROOT, "build/llama.cpp", name) if name.startswith(CONVERTER) else None


def main():
    done = os.path.join(FOLDER, "complete")
    if os.path.exists(done) and os.path.exists(os.path.join(ROOT, "build/llama.cpp")):
        return
    os.makedirs(FOLDER, exist_ok=True)
    print("vocabularies: downloading llama.cpp's vocabularies and chat templates (pip; 77 MB)", flush=True)
    requirements = os.path.join(FOLDER, "requirements.txt")
    with open(requirements, "w") as file:
        file.write(PACKAGE + "\n")
    command = pip() + ["download", "--no-deps", "--require-hashes", "--no-binary=llama-cpp-python", "--retries", "1",
                       "--timeout", "30", "--disable-pip-version-check", "--progress-bar", "off", "--quiet",
                       "--dest", FOLDER, "-r", requirements]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    os.remove(requirements)
    archive = os.path.join(FOLDER, "llama_cpp_python-0.3.36.tar.gz")
    if result.returncode or not os.path.exists(archive):
        errors = [line for line in result.stdout.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        print(f"vocabularies: the download failed ({errors[-1]}); tests that need them are skipped. "
              "Try again: make vocabularies")
        sys.exit(0)
    with tarfile.open(archive) as source:
        for member in source:
            _, _, name = member.name.partition(LLAMA_CPP)
            path = place(name) if member.isfile() else None
            if not path:
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as out:
                out.write(source.extractfile(member).read())
    os.remove(archive)
    open(done, "w").close()
    print(f"vocabularies: {os.path.relpath(FOLDER, ROOT)}")


if __name__ == "__main__":
    main()
