"""Puts the contract's .proto files into the wheel and the sdist, beside the code made of them."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProtoFiles(BuildHookInterface):  # type: ignore[type-arg]
    """Adds them from the repository; in an sdist they are in place already."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files to hatchling. An editable install has them in the repository."""
        protos = Path(self.root).parent / "protos"
        if version == "editable" or not protos.is_dir():
            return
        for path in protos.glob("orderintake/**/*.proto"):
            build_data["force_include"][str(path)] = path.relative_to(protos).as_posix()
