"""Reads gin files as T5X's programs do and prints what is left to give and what nothing reads.

    python read_t5x.py FILE[,FILE...] ...

prints a JSON list with one {"required": [...], "unread": [...], "unset": [...]} an argument. It is
its own process because T5X registers names as it reads them, beside those of the local loop.
"""

import json
import re
import sys

import t5coref.t5x_adapter  # noqa: F401

# isort: split
import gin

# The run files of T5X take these from the program that is running.
from t5x.eval import evaluate  # noqa: F401
from t5x.infer import infer, write_inferences_to_file  # noqa: F401
from t5x.train import train  # noqa: F401
from t5x.utils import __file__ as t5x_utils

from t5coref.cli import gin_files


def read(files: list[str]) -> dict[str, list[str]]:
    gin.clear_config()
    gin.parse_config_files_and_bindings(files, [], finalize_config=False)
    known = gin_files.macros()
    mentioned = set(re.findall(r"%(?!gin\.)(\w+)", gin.config_str()))
    return {
        "required": sorted(name for name, value in known.items() if value == gin_files.REQUIRED),
        "unread": sorted(known.keys() - mentioned),
        "unset": sorted(mentioned - known.keys()),
    }


if __name__ == "__main__":
    gin.add_config_file_search_path(str(gin_files.gin_root()))
    gin.add_config_file_search_path(t5x_utils.rpartition("/t5x/")[0])
    print(json.dumps([read(argument.split(",")) for argument in sys.argv[1:]]))
