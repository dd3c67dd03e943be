"""What can be measured: a table, in the order of the page."""

from collections.abc import Mapping

from turns import Part

from parts import core, options, postgres, streams

PARTS: Mapping[str, Part] = {
    "core": core.PART,
    "options": options.PART,
    "streams": streams.PART,
    "postgres": postgres.PART,
}
