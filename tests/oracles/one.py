#!/usr/bin/env python3
"""Writes the vectors of one family, or of one script, anew, with only the packages that it needs: make oracle
NAME=gemma2.

    one.py NAME
    one.py --names SCRIPT ...   # prints the names that these scripts make
    one.py --check              # checks that every name which a script imports from another exists

NAME is a model or folder that a script below makes, a family (every variant of it: gemma2, gemma2-27b, awq-gemma2), or
a script without its ending. Packages come into build/venv, in the versions of requirements.txt, unless they are there.
Needs Python's standard library alone.
"""
import ast
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
VENV = HERE.parents[1] / "build" / "venv"
LISTS = ("MODELS", "TYPES", "FOLDERS", "SAVED", "WRITTEN")  # the scripts' tables of names
# Scripts that accept names, to make only these, and the form of their arguments.
BY_NAME = {
    "family_models": ["../fixtures/models"],
    "random_models": [],
    "encoder_models": ["../fixtures/encoders"],
    "both_ways_models": ["../fixtures/both-ways"],
    "family_folders": ["../fixtures/safetensors"],
    "quantized_families": ["../fixtures/safetensors"],
    "quantized_folders": ["../fixtures/safetensors"],
    "compressed_folders": ["../fixtures/safetensors"],
    "sentence_folders": ["../fixtures/sentence"],
}
# Packages whose name differs from their module's, and packages that a module needs without importing them.
PACKAGES = {"auto_round": "auto-round", "google": "protobuf", "compressed_tensors": "compressed-tensors",
            "sentence_transformers": "sentence-transformers"}
BESIDES = {"transformers": ["accelerate"], "auto_round": ["datasets", "py-cpuinfo"],
           "gptqmodel": ["setuptools", "wheel"]}
GPTQ = {"gptqmodel", "awq", "tokenicer"}  # of requirements-gptq.txt, all or none


def tree(script):
    return ast.parse((HERE / f"{script}.py").read_text(encoding="utf-8"))


def names_of(script):
    """The keys of the script's tables."""
    found = []
    for line in tree(script).body:
        if isinstance(line, ast.Assign) and getattr(line.targets[0], "id",
                                                    None) in LISTS and isinstance(line.value, ast.Dict):
            found += [key.value for key in line.value.keys if isinstance(key, ast.Constant)]
    return found


def modules_of(script, seen=None):
    """All modules that the script, or a script that it imports, imports."""
    seen = set() if seen is None else seen
    for node in ast.walk(tree(script)):
        imported = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module] if (
            isinstance(node, ast.ImportFrom) and node.module) else []
        for module in (name.partition(".")[0] for name in imported):
            if module not in seen:
                seen.add(module)
                if (HERE / f"{module}.py").exists():
                    modules_of(module, seen)
    return seen


def pinned():
    """Package: the line of requirements.txt."""
    lines = (HERE / "requirements.txt").read_text(encoding="utf-8").split("\n")
    return {line.partition("==")[0]: line for line in lines if "==" in line}


def wanted(name):
    """Script: the names that it should make, none for all."""
    if (HERE / f"{name}.py").exists():
        return {name: []}
    flat = re.sub("[-_]", "", name)
    is_it = lambda key: re.sub("[-_]", "", key) == flat or key.startswith(name + "-") or key.endswith("-" + name)
    found = {script: [key for key in names_of(script) if is_it(key)] for script in BY_NAME}
    return {script: keys for script, keys in found.items() if keys}


def install(modules):
    pip = [VENV / "bin" / "python", "-m", "pip", "install", "-q"]
    if not pip[0].exists():
        subprocess.check_call([sys.executable, "-m", "venv", VENV])
    lines = pinned()
    needed = {PACKAGES.get(m, m) for m in modules} | {b for m in modules for b in BESIDES.get(m, [])}
    subprocess.check_call([*pip, *(lines[p] for p in sorted(needed & set(lines)))])
    if modules & GPTQ:
        subprocess.check_call(["env", "BUILD_CUDA_EXT=0", *pip, "--no-deps", "--no-build-isolation", "-r",
                               HERE / "requirements-gptq.txt"])


def check():
    """Checks the names that the scripts import from each other, because all of them are seldom run."""
    scripts = {path.stem: tree(path.stem) for path in HERE.glob("*.py")}

    def own(script):
        for node in ast.walk(scripts[script]):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                yield node.name
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                yield from ((a.asname or a.name).partition(".")[0] for a in node.names)

    def imported(script):
        return {a.asname or a.name for node in ast.walk(scripts[script]) if isinstance(node, ast.Import)
                for a in node.names}

    names, bad = {script: set(own(script)) for script in scripts}, []
    for script, parsed in scripts.items():
        for node in ast.walk(parsed):
            taken = []
            if isinstance(node, ast.ImportFrom) and node.module in scripts:
                taken = [(node.module, a.name) for a in node.names]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in scripts:
                taken = [(node.value.id, node.attr)] if node.value.id in imported(script) else []
            bad += [f"{script}.py:{node.lineno}: {other}.py has no {name}" for other, name in taken
                    if name not in names[other]]
    if bad:
        raise SystemExit("\n".join(bad))


def main():
    if sys.argv[1:] == ["--check"]:
        return check()
    if sys.argv[1:2] == ["--names"]:
        return print("\n".join(name for script in sys.argv[2:] for name in names_of(script)))
    if len(sys.argv) != 2 or not sys.argv[1]:
        raise SystemExit(__doc__.strip())
    scripts = wanted(sys.argv[1])
    if not scripts:
        every = sorted({name for script in BY_NAME for name in names_of(script)})
        raise SystemExit(f"one.py: no script makes \"{sys.argv[1]}\"; there are\n  {' '.join(every)}\n"
                         f"and the scripts of {HERE.name}/")
    for script, names in scripts.items():
        print(f"{script}.py {' '.join(names)}", flush=True)
        install(modules_of(script))
        arguments = [*BY_NAME[script], *names] if names else []
        subprocess.check_call([VENV / "bin" / "python", f"{script}.py", *arguments], cwd=HERE)


if __name__ == "__main__":
    main()
