"""Mains and battery, as the kernel tells of them (/sys/class/power_supply)."""

from pathlib import Path

from agent.wire import PowerState

SUPPLIES = Path("/sys/class/power_supply")


def read_power(supplies: Path = SUPPLIES) -> PowerState | None:
    """Return what is known; None on a PC that tells nothing, as most desktops do."""
    mains: list[bool] = []
    battery: list[float] = []
    for supply in sorted(supplies.glob("*")):
        kind = _text(supply / "type")
        if kind in {"Mains", "USB"} and (online := _text(supply / "online")):
            mains.append(online == "1")
        elif kind in {"Battery", "UPS"} and (capacity := _text(supply / "capacity")).isdecimal():
            battery.append(int(capacity) / 100)
    if not mains and not battery:
        return None
    return PowerState(
        on_mains=any(mains) if mains else None,
        battery_ratio=min(battery) if battery else None,
    )


def _text(file: Path) -> str:
    try:
        return file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
