"""Makes built programs small enough to carry beside this checkout: gpu_pack.py ASSET PROGRAM...

PROGRAM becomes PROGRAM.gz, in which the bytes of ASSET, a file of this checkout that is part of the program, are zeros;
PROGRAM.at says where they go (nothing if it is not part of it). gpu_check.sh puts them together again.
"""

import gzip
import pathlib
import sys

asset = pathlib.Path(sys.argv[1]).read_bytes()
for program in map(pathlib.Path, sys.argv[2:]):
    code = program.read_bytes()
    at = code.find(asset)
    if at >= 0:
        code = code[:at] + bytes(len(asset)) + code[at + len(asset) :]
    program.with_name(program.name + ".gz").write_bytes(gzip.compress(code, 9, mtime=0))
    program.with_name(program.name + ".at").write_text(f"{at}\n" if at >= 0 else "")
    program.unlink()
