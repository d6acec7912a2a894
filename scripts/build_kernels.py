"""Compiles every kernel source to PTX with NVRTC, assembles it with ptxas, and writes down what each kernel takes.

build_kernels.py PACKAGES SOURCES OUT: the folder with NVIDIA's packages, that of the sources, where ptx/ and
resources.txt go. Called by build_kernels.sh.
"""

import ctypes
import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

packages, sources, out = (pathlib.Path(p) for p in sys.argv[1:4])
# Families for one architecture alone; all others are for Ampere and what came after.
OF_HOPPER = {"product_wgmma", "product_tma"}
# No kernel of these may spill registers.
WITHOUT_SPILLS = ("attention", "attention_bias", "low_rank", "product", "product_tma", "product_wgmma", "quantised")
COLUMNS = ("sm_80", "sm_90", "sm_90a")


def target(family):
    return "compute_90a" if family.stem in OF_HOPPER else "compute_80"


def assembled(family):
    return ("sm_90a",) if family.stem in OF_HOPPER else ("sm_80", "sm_90")


nvrtc = ctypes.CDLL(str(packages / "cuda_nvrtc/lib/libnvrtc.so.12"))


def fetch(name, program):
    size = ctypes.c_size_t()
    getattr(nvrtc, f"nvrtcGet{name}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, f"nvrtcGet{name}")(program, text)
    return text.raw.rstrip(b"\0").decode()


def compile_ptx(source):
    program = ctypes.c_void_p()
    text = source.read_bytes()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, source.name.encode(), 0, None, None) == 0
    options = [f"--gpu-architecture={target(source)}", "--std=c++17", "-default-device", f"-I{sources}", f"-I{packages}/cuda_runtime/include"]
    failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*map(str.encode, options)))
    log = fetch("ProgramLog", program)
    if failed or log.strip():
        sys.stderr.write(log)
    if failed:
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        sys.exit(f"{source} does not compile: {nvrtc.nvrtcGetErrorString(failed).decode()}")
    ptx = fetch("PTX", program)
    assert ".version 8.0" in ptx, "PTX of another version than 8.0"
    return ptx


def digest(source):
    """Of the source and of everything that it includes."""
    seen, todo, total = set(), [source], hashlib.sha256()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        text = path.read_text()
        total.update(path.name.encode() + b"\0" + text.encode() + b"\0")
        included = (sources / name for name in re.findall(r'#include "([^"]+)"', text))
        todo += [p for p in included if "host" not in p.parts]
    return total.hexdigest()


def resources(ptx_file, architecture):
    with tempfile.NamedTemporaryFile() as cubin:
        command = [packages / "cuda_nvcc/bin/ptxas", "-v", f"-arch={architecture}", ptx_file, "-o", cubin.name]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{ptx_file} for {architecture}: {done.stderr}")
    # Such as that products of warpgroups wait for each other (wgmma.mma_async instructions are serialized).
    if warned := re.search(r".*(warning|Potential Performance Loss).*", done.stderr):
        sys.exit(f"{ptx_file} for {architecture}: {warned[0]}")
    # One part a kernel; what it calls (division in double precision, say) comes after its own lines.
    found = {}
    for part in done.stderr.split("Compiling entry function '")[1:]:
        name = part.split("'")[0]
        own = part[part.index(f"Function properties for {name}\n") :]
        spills = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", own)
        registers = re.search(r"Used (\d+) registers", part)
        found[name] = (int(registers[1]), int(spills[1]), int(spills[2]) + int(spills[3]))
    return found


(out / "ptx").mkdir(parents=True, exist_ok=True)
families = sorted(sources.glob("*.cu"))
expected = {f"{f.stem}.ptx" for f in families}
for stale in (out / "ptx").glob("*.ptx"):
    if stale.name not in expected:
        stale.unlink()
with ThreadPoolExecutor(2) as pool:
    compiled = list(pool.map(compile_ptx, families))
    files = []
    for family, ptx in zip(families, compiled):
        file = out / "ptx" / f"{family.stem}.ptx"
        file.write_text(f"// {family.name} sha256 {digest(family)}\n{ptx}")
        files.append(file)
    jobs = [(f, a) for f in files for a in assembled(f)]
    table = dict(zip(jobs, pool.map(lambda job: resources(*job), jobs)))

for (file, architecture), kernels in table.items():
    spilling = [name for name, (_, _, spilled) in kernels.items() if spilled and file.stem in WITHOUT_SPILLS]
    if spilling:
        sys.exit(f"{file} for {architecture} spills registers: {', '.join(spilling)}")

lines = ["# Registers a thread, bytes of stack frame, bytes spilled, as ptxas 12.0 -v tells. Shared memory is dynamic: the"]
lines += ["# launch table has it (src/backend/cuda/launch).", f"{'kernel':<32}" + "".join(f"{a:>16}" for a in COLUMNS)]
for file in files:
    of = [table.get((file, a)) for a in COLUMNS]
    names = sorted(next(t for t in of if t))
    lines.append(f"# {file.stem}.cu")
    cells = lambda n: "".join("{:>8}{:>4}{:>4}".format(*t[n]) if t else " " * 16 for t in of)
    lines += [f"{n:<32}{cells(n)}".rstrip() for n in names]
(out / "resources.txt").write_text("\n".join(lines) + "\n")
