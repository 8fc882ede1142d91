"""CPU seconds and memory of processes, as Linux counts them.

In: process ids. Out: seconds of CPU, a process's ended and waited-for children included, and the
peak of resident bytes over a process and its live children, sampled.
"""

import os
import platform
import threading

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SAMPLE_SECONDS = 0.02


def _stat(pid):
    """The fields of /proc/PID/stat behind the command's name, or None if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def children(pid):
    """Ids of the live children of all threads of a process."""
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        pass
    return found


def own_cpu(pid):
    """CPU seconds of a process itself."""
    stat = _stat(pid)
    return (int(stat[11]) + int(stat[12])) / TICKS if stat else 0.0


def children_cpu(pid):
    """CPU seconds of a process's children, ended or alive."""
    stat = _stat(pid)
    ended = (int(stat[13]) + int(stat[14])) / TICKS if stat else 0.0
    return ended + sum(own_cpu(child) + children_cpu(child) for child in children(pid))


def resident(pid):
    """Resident bytes of a process."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * PAGE_BYTES
    except OSError:
        return 0


class Peak:
    """While entered, samples a process and its children; `bytes` is the largest sum seen."""

    def __init__(self, pid):
        self.pid = pid
        self.bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self):
        while not self._ended.wait(SAMPLE_SECONDS):
            now = resident(self.pid) + sum(resident(child) for child in children(self.pid))
            self.bytes = max(self.bytes, now)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()


def description():
    """Processor, cores, memory and kernel, in a line."""
    processor = platform.processor() or platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    memory = os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES / 2**30
    return f"{processor}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"
