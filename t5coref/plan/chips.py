"""The chips that slices are made of, and the meshes that a slice can be.

Peaks are those that Google publishes, https://cloud.google.com/tpu/docs/v4, /v5e, /v5p and /v6e, as
read in November 2026: dense bfloat16 operations, capacity and bandwidth of the memory, and the
bandwidth of all links of a chip in one direction, divided by their number.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from t5coref.core.errors import ConfigError

GIB = 2**30

FLAT = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
CUBES = ((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4), (4, 4, 4), (4, 4, 8), (4, 8, 8), (8, 8, 8))


@dataclass(frozen=True)
class Chip:
    """One kind of TPU.

    Attributes:
        name: as topologies call it.
        flops: bfloat16 operations a second.
        hbm: bytes of memory.
        usable: bytes of it that the compiler gives to a program, as its refusals say.
        bandwidth: bytes a second from and to memory.
        link: bytes a second over one link in one direction; there are two links for each axis.
        slices: the shapes that can be had, smallest first.
        options: what the compiler wants to know of the chip besides.
    """

    name: str
    flops: float
    hbm: float
    usable: float
    bandwidth: float
    link: float
    slices: tuple[tuple[int, ...], ...]
    options: Mapping[str, Any] = field(default_factory=dict)


# The two cores of a v4 or v5p chip are one device, as on Cloud TPU.
_MEGACORE = {"chip_config_name": "megacore"}

CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v4", 275e12, 32 * GIB, 30.75 * GIB, 1200e9, 50e9, CUBES, _MEGACORE),
        Chip("v5e", 197e12, 16 * GIB, 15.75 * GIB, 819e9, 50e9, FLAT),
        Chip("v5p", 459e12, 95 * GIB, 95.74 * GIB, 2765e9, 100e9, CUBES, _MEGACORE),
        Chip("v6e", 918e12, 32 * GIB, 31.25 * GIB, 1640e9, 112e9, FLAT),
    )
}


@dataclass(frozen=True)
class Slice:
    """Chips in a rectangle or a box, such as `v5e:4x8`."""

    chip: Chip
    shape: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Slice:
        """The slice called `text`.

        Raises:
            ConfigError: there is no such chip, or its slices have other shapes.
        """
        name, _, rest = text.partition(":")
        chip = chip_of(name)
        known = ", ".join(str(cls(chip, shape)) for shape in chip.slices)
        try:
            shape = tuple(int(part) for part in rest.split("x"))
        except ValueError:
            shape = ()
        if tuple(sorted(shape)) not in {tuple(sorted(known)) for known in chip.slices}:
            raise ConfigError(f"no slice is called {text!r}; expected one of {known}")
        return cls(chip, shape)

    def __str__(self) -> str:
        return f"{self.chip.name}:{'x'.join(map(str, self.shape))}"

    @property
    def chips(self) -> int:
        """How many there are."""
        return math.prod(self.shape)

    def model_sizes(self) -> tuple[int, ...]:
        """The sizes that the mesh axis `model` can have: products of axes of the slice."""
        return tuple(sorted(self._axes_for()))

    def mesh(self, model: int) -> tuple[int, int]:
        """The sizes of the mesh axes `data` and `model`.

        Raises:
            ConfigError: `model` is no product of axes of the slice.
        """
        if model not in self.model_sizes():
            raise ConfigError(
                f"a mesh of {self} cannot have {model} chips on its model axis: expected a product "
                f"of the slice's axes, one of {', '.join(map(str, self.model_sizes()))}"
            )
        return self.chips // model, model

    def bandwidths(self, model: int) -> tuple[float, float]:
        """Bytes a second that a chip can receive along the mesh axes `data` and `model`."""
        used = self._axes_for()[model]
        axes = sum(size > 1 for size in self.shape)
        each = 2 * self.chip.link
        return each * (axes - used), each * used

    def topology(self) -> Any:
        """The slice as the compiler knows it.

        Raises:
            ConfigError: libtpu is not installed, or does not know the slice.
        """
        from jax.experimental import topologies

        try:
            import libtpu  # noqa: F401  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise ConfigError(
                "the TPU compiler is not installed; expected the package libtpu (no TPU is "
                'needed): pip install "t5coref[tpu]"'
            ) from None
        options = dict(self.chip.options)
        if self.chips == 1:
            options["chips_per_host_bounds"] = (1, 1, 1)
        name = str(self)
        # There is no TPU whose neighbours libtpu could ask for.
        os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
        try:
            return topologies.get_topology_desc(platform="tpu", topology_name=name, **options)
        except Exception as error:
            raise ConfigError(
                f"this libtpu does not know the slice {name}: {str(error).splitlines()[0]}"
            ) from error

    def _axes_for(self) -> dict[int, int]:
        """Size of a mesh axis -> how many axes of the slice it takes, as few as possible."""
        longer = [size for size in self.shape if size > 1]
        found: dict[int, int] = {}
        for count in range(len(longer) + 1):
            for chosen in itertools.combinations(longer, count):
                found.setdefault(math.prod(chosen), count)
        return found


def chip_of(name: str) -> Chip:
    """The chip called `name`.

    Raises:
        ConfigError: there is none.
    """
    if name not in CHIPS:
        raise ConfigError(f"no TPU is called {name!r}; expected one of {', '.join(CHIPS)}")
    return CHIPS[name]
