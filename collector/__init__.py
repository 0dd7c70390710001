"""The collector: keeps what the agents measured, says what it means, shows it."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("thongsuot")
except PackageNotFoundError:  # run from a bare checkout
    VERSION = "0.0.0"
