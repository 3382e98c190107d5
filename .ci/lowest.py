"""Print the lowest version of each requirement in pyproject.toml, as constraints for pip."""

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

for requirement in [*PROJECT["dependencies"], *EXTRAS["batch"], *EXTRAS["media"], *EXTRAS["test"]]:
    if match := re.fullmatch(r"([\w.-]+)>=([\d.]+)", requirement):
        print(f"{match[1]}=={match[2]}")
