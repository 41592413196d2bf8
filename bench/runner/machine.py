"""On what, and with what, the figures were taken."""

import os
import platform
import subprocess


def first_value(path, key):
    """The value of the first `key : value` line of a file under /proc, or an empty text."""
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == key:
                    return value.strip()
    except OSError:
        pass
    return ""


def describe_machine():
    """CPU, cores, memory, kernel, and the load before the first measure."""
    memory = first_value("/proc/meminfo", "MemTotal").split()
    return {
        "cpu": first_value("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "virtual": "hypervisor" in first_value("/proc/cpuinfo", "flags").split(),
        "memory_bytes": int(memory[0]) * 1024 if memory else 0,
        "kernel": f"{platform.system()} {platform.release()}",
        "load_before": round(os.getloadavg()[0], 2),
    }


def revision(source_folder):
    """The commit of the source tree, with "-dirty" when it has changes; empty when that cannot be told."""
    try:
        found = subprocess.run(
            ["git", "-C", str(source_folder), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""


def machine_text(machine):
    """One line for people."""
    kind = ", virtual machine" if machine["virtual"] else ""
    return (
        f"{machine['cpu']} ({machine['architecture']}), {machine['cores']} cores{kind}, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB, {machine['kernel']}, load before {machine['load_before']}"
    )


def busy_warning(machine):
    """A warning when other work shares the machine, or an empty text."""
    if machine["load_before"] <= 0.3 * machine["cores"]:
        return ""
    return (
        f"the machine was not quiet: load {machine['load_before']} on {machine['cores']} cores before the first measure"
    )
