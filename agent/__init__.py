"""The agent: measures on a commune PC, keeps every sample on disk, hands it to the centre."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("thongsuot")
except PackageNotFoundError:  # run from a bare checkout
    VERSION = "0.0.0"
