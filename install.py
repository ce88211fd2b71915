"""Prepares this checkout; needs nothing but Python.

    python install.py          report what is present and what optional parts would add; installs nothing
    python install.py demo     make .venv, install what is needed, reconstruct the bundled sample into output/demo
    python install.py test     the same, then formatting, linter and tests
    python install.py kernels  which attention kernels work here, and how to get the others; installs nothing

ComfyUI-Manager runs this file without arguments after a clone: that touches nothing. Run again, demo and test skip
what is already done. With --here they use the Python that runs this file instead of .venv, adding only what is missing.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
DEMO_OUTPUT = ROOT / "output" / "demo"
OLDEST_PYTHON = (3, 10)
MOST_TEST_WORKERS = 4  # a worker may hold a model of 6 GB
TORCH = "torch==2.13.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# module to look for -> what to ask pip for
BASE = {"numpy": "numpy>=1.26"}
NEEDED = {
    "torch": "runs the networks; ComfyUI brings it, otherwise see https://pytorch.org/get-started/locally",
    "numpy": "arrays",
    "pillow": "reads and writes pictures",
    "av": "reads video files",
    "safetensors": "reads model files",
    "huggingface_hub": "downloads a model when you ask for it",
    "tqdm": "progress bars",
}
OPTIONAL = {
    "triton": "faster kernels on an NVIDIA GPU (comes with PyTorch on Linux)",
}
# browsers of the Chromium family; tests/browser.py looks for the same
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


class InstallError(Exception):
    """Something the user has to mend; the message is the sentence they read."""


def main(argv=None):
    """Run the part the command line asks for and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["demo", "test", "kernels"], help="nothing: only a report")
    parser.add_argument("--here", action="store_true", help="use the Python that runs this file, not .venv")
    arguments = parser.parse_args(argv)
    if arguments.part is None:
        return report()
    if arguments.part == "kernels":
        return report_kernels()
    try:
        check_python()
        sys.stdout.reconfigure(line_buffering=True)  # keeps our lines in order with those of pip and the tests
        files = [ROOT / "requirements.txt"]
        if arguments.part == "test":
            files.append(ROOT / "tests" / "requirements.txt")
        python = prepare(files, arguments.here)
        code = run_demo(python)
        if arguments.part == "test":
            get_browser()
            code = run_checks(python) or code
        return code
    except InstallError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on.", file=sys.stderr)
        return 130


# --- the report -----------------------------------------------------------------------------------------------------


def report():
    """Say in plain words what this Python has; change nothing."""
    print(f"ManyView in {ROOT}")
    print(f"Python {sys.version.split()[0]} ({sys.executable})")
    if sys.version_info < OLDEST_PYTHON:
        print(f"This Python is too old: ManyView needs {'.'.join(map(str, OLDEST_PYTHON))} or newer.")
        return 0
    missing = print_packages("Needed", NEEDED)
    print_packages("Optional", OPTIONAL)
    if missing:
        print("\nMissing: " + ", ".join(missing) + ".")
        print("ComfyUI-Manager installs requirements.txt by itself. By hand, with the Python that runs ComfyUI:")
        print(f'    "{sys.executable}" -m pip install -r "{ROOT / "requirements.txt"}"')
    else:
        print("\nEverything needed is present.")
    print("Nothing was installed or changed. To try ManyView outside ComfyUI: python install.py demo")
    return 0


def print_packages(title, packages):
    """Print one line a package; return the names of those that are absent."""
    print(f"\n{title}:")
    missing = []
    for name, purpose in packages.items():
        version = installed_version(name)
        if version is None:
            missing.append(name)
        print(f"  {name:24} {version or 'not installed':16} {purpose}")
    return missing


def installed_version(name):
    """Version of a package without importing it."""
    import importlib.metadata  # not there in a Python so old that it only gets a sentence

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


# --- kernels --------------------------------------------------------------------------------------------------------

TORCH_FACTS = """
import sys, torch
gpu = torch.cuda.is_available()
arch = "".join(map(str, torch.cuda.get_device_capability())) if gpu else "-"
name = torch.cuda.get_device_name() if gpu else "no CUDA GPU"
tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
print(torch.__version__, torch.version.cuda or "-", arch, torch._C._GLIBCXX_USE_CXX11_ABI, tag, name.replace(" ", "_"))
"""
TRY_TRITON = """
import runpy
runpy.run_path(ROOT + "/__main__.py", run_name="manyview_registration")
import torch
from manyview.models.gpu_kernels import why_no_kernels
print(why_no_kernels(torch.device("cuda", 0)) or "yes")
"""
KERNELS = {
    "triton": "our own kernels; on Linux PyTorch brings it, on Windows: pip install triton-windows",
    "flash_attn.cute.interface": "flash-attn-4, for blocks of 192 x 128 on Hopper and Blackwell GPUs",
    "block_sparse_attn": "block-sparse-attn of the MIT Han Lab, for blocks of 128 x 128",
}


def report_kernels():
    """Say which kernels import here, and what to type for the others; None is needed."""
    facts = output_of([sys.executable, "-c", TORCH_FACTS])
    if facts is None:
        print("PyTorch does not import with this Python, so no kernel can; see python install.py")
        return 1
    torch, cuda, arch, abi, tag, gpu = facts.split()
    print(f"PyTorch {torch}, CUDA {cuda}, {gpu.replace('_', ' ')}{'' if arch == '-' else f' (sm_{arch})'}\n")
    works = {}
    for module, purpose in KERNELS.items():
        works[module] = output_of([sys.executable, "-c", f"import torch, {module}"]) is not None
        print(f"  {'imports' if works[module] else 'absent ':8} {module.split('.')[0]:18} {purpose}")
    if works["triton"] and arch != "-":
        reason = output_of([sys.executable, "-c", f"ROOT = {str(ROOT)!r}\n{TRY_TRITON}"])
        print(f"\nTriton compiles and runs a kernel here: {'no, it fails' if reason is None else reason.strip()}")
    print("\nNone of them is needed: without them attention is computed by plain PyTorch, more slowly.")
    if cuda == "-":
        print("This PyTorch has no CUDA, so there is nothing to add.")
        return 0
    if not works["flash_attn.cute.interface"]:
        print("\nflash-attn-4 (Hopper, Blackwell):")
        print(f'    "{sys.executable}" -m pip install --pre "flash-attn-4{"[cu13]" if cuda.startswith("13") else ""}"')
    if not works["block_sparse_attn"]:
        print_block_sparse_attn(torch, cuda, arch, abi, tag)
    return 0


def print_block_sparse_attn(torch, cuda, arch, abi, tag):
    """How to come by a package that is not on PyPI."""
    platform = "win_amd64" if sys.platform == "win32" else "linux_x86_64"
    short = ".".join(torch.split("+")[0].split(".")[:2])
    wheel = f"block_sparse_attn-*+cu{cuda.split('.')[0]}torch{short}cxx11abi{abi.upper()}-{tag}-{tag}-{platform}.whl"
    print("\nblock-sparse-attn is not on PyPI. A wheel that fits here is called")
    print(f"    {wheel}")
    nvcc = shutil.which("nvcc")
    found = nvcc or "not found here"
    print(f"To build one: a C++ compiler, nvcc of CUDA {cuda.split('.')[0]} ({found}), some 20 minutes:")
    print("    git clone --recursive https://github.com/mit-han-lab/Block-Sparse-Attention")
    print("    cd Block-Sparse-Attention")
    print(f'    set BLOCK_SPARSE_ATTN_CUDA_ARCHS to "{"80" if arch == "-" else arch}" and MAX_JOBS to 4, then')
    print(f'    "{sys.executable}" -m pip install --no-build-isolation .')
    print("Then run this again: it says whether the result imports.")


def output_of(command):
    """What a command prints; None if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout if done.returncode == 0 else None


# --- the environment ------------------------------------------------------------------------------------------------


def check_python():
    """Refuse a Python that cannot run ManyView before anything is made."""
    if sys.version_info < OLDEST_PYTHON:
        oldest, this = ".".join(map(str, OLDEST_PYTHON)), sys.version.split()[0]
        raise InstallError(f"ManyView needs Python {oldest} or newer, this is {this}; run install.py with a newer one.")


def prepare(files, here=False):
    """Return a Python that has everything in `files`, and torch; pip runs only when something is missing."""
    started = time.monotonic()
    python = Path(sys.executable) if here else virtual_environment()
    wanted = fingerprint(files)
    stamp = None if here else VENV / "manyview-installed.txt"
    done = stamp.read_text(encoding="utf-8").split() if stamp and stamp.exists() else []
    absent = [module for module in ("torch", *BASE) if not has_module(python, module)]
    if not absent and set(wanted) <= set(done):
        print(f"Environment ready: {python}")
        return python
    if "torch" in absent:
        install_torch(python)
    packages = [requirement for module, requirement in BASE.items() if module in absent]
    pip_install(python, *packages, *(part for file in files for part in ("-r", str(file))))
    if stamp:
        stamp.write_text("\n".join(sorted({*done, *wanted})) + "\n", encoding="utf-8")
    print(f"Environment ready: {python} ({time.monotonic() - started:.0f} s)")
    return python


def virtual_environment():
    """Path of the Python in .venv, which is made, or made again when it is broken."""
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if python.exists() and succeeds([python, "-c", "import pip"]):
        return python
    if not has_module(sys.executable, "venv") or not has_module(sys.executable, "ensurepip"):
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise InstallError(
            "this Python cannot make virtual environments because its venv or ensurepip module is missing; on Debian "
            f"or Ubuntu run `sudo apt install python{version}-venv` and try again, or add --here to use a Python "
            "environment of your own."
        )
    print(f"Making {VENV}")
    if subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)]).returncode:
        raise InstallError(f"could not make {VENV}; see the lines above.")
    return python


def install_torch(python):
    """Install torch: the plain one with an NVIDIA GPU, on Windows and macOS; the small CPU build on other Linux."""
    if has_nvidia_gpu() or not sys.platform.startswith("linux"):
        attempts = [[TORCH], ["torch"]]
    else:
        # A local wheel of the CPU build, where one is configured, saves going to PyTorch's own index.
        cpu = TORCH + "+cpu"
        attempts = [[cpu], [cpu, "--extra-index-url", TORCH_CPU_INDEX], ["torch", "--index-url", TORCH_CPU_INDEX]]
    for attempt in attempts:
        print("Installing " + " ".join(attempt))
        if not pip(python, *attempt):
            return
    raise InstallError("pip could not install torch; see the lines above, or follow https://pytorch.org/get-started.")


def has_nvidia_gpu():
    """True when NVIDIA's driver lists a GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    try:
        listed = subprocess.run([tool, "-L"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and b"GPU" in listed.stdout


def pip_install(python, *arguments):
    """Install or explain."""
    print("Installing " + " ".join(argument for argument in arguments if argument != "-r"))
    if pip(python, *arguments):
        raise InstallError("pip failed; see the lines above. Check the network and run the same command again.")


def pip(python, *arguments):
    """Run pip and return its exit code."""
    command = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *arguments]
    return subprocess.run(command).returncode


def has_module(python, name):
    """True when `python` can import the module."""
    return succeeds([python, "-c", f"import importlib.util, sys; sys.exit(importlib.util.find_spec('{name}') is None)"])


def succeeds(command):
    """True when the command runs and returns 0; its output is not shown."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        return subprocess.run([str(part) for part in command], **quiet).returncode == 0
    except OSError:
        return False


def fingerprint(files):
    """One word a requirements file that changes with its content."""
    return [f"{file.name}:{hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]


def get_browser():
    """A Chromium for the tests of web pages: Debian's package when root may install it, otherwise a hint."""
    if os.environ.get("MANYVIEW_CHROMIUM") or any(shutil.which(name) for name in BROWSERS):
        return
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        print("\nInstalling Debian's package chromium, for the tests of web pages", flush=True)
        quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"]
        for command in (["apt-get", "update", "-q"], install):
            if subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL).returncode:
                print("apt-get could not install chromium; see the lines above.")
                break
        else:
            return
    print("\nNo Chromium was found, so the tests of web pages will be skipped. To run them, install Chromium or Chrome")
    print("(on Debian: sudo apt install chromium), or name one in the environment variable MANYVIEW_CHROMIUM.")


# --- demo and checks ------------------------------------------------------------------------------------------------


def run_demo(python):
    """Reconstruct the bundled sample with the bundled model; earlier files of the demo are replaced."""
    print("\nReconstructing the bundled sample")
    command = [str(python), str(ROOT), "reconstruct", str(ROOT / "sample"), "--model", "mini"]
    code = subprocess.run([*command, "--out", str(DEMO_OUTPUT), "--overwrite"]).returncode
    if code == 0:
        print(f"\nLook at {DEMO_OUTPUT / 'preview' / 'cloud.png'} first.")
    return code


def run_checks(python):
    """Formatting, linter, tests; all of them run even when one fails."""
    cores = os.cpu_count() or 1
    workers = min(cores, MOST_TEST_WORKERS)
    tests = ["pytest", "-n", str(workers), "--dist", "loadfile", "--durations", "10"]
    checks = [("format", ["ruff", "format", "--check", "."]), ("lint", ["ruff", "check", "."]), ("tests", tests)]
    # as many threads in all as there are cores; more of them only wait for each other
    environment = {"OMP_NUM_THREADS": str(max(1, cores // workers)), **os.environ}
    results = []
    for name, command in checks:
        print(f"\n{name}: {' '.join(command)}", flush=True)
        results.append((name, subprocess.run([str(python), "-m", *command], cwd=str(ROOT), env=environment).returncode))
    print("\n" + ", ".join(f"{name} {'failed' if code else 'ok'}" for name, code in results))
    return 1 if any(code for _, code in results) else 0


if __name__ == "__main__":
    sys.exit(main())
