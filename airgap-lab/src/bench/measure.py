"""Runs a program and reports what it and everything under it took, as JSON into a file.

usage: python3 -c "$(cat measure.py)" REPORT SECONDS PROGRAM [ARGUMENT ...]

The kernel hands these figures to whoever waits for a child, by getrusage(2). Rust's standard library does not.
"""

import json
import os
import resource
import subprocess
import sys
import threading
import time

report, deadline, *command = sys.argv[1:]
begun = time.perf_counter()
process = subprocess.Popen(command)
# A wait with a timeout looks only every 50 ms; this one returns at once.
end = threading.Timer(float(deadline), process.kill)
end.daemon = True
end.start()
# It has ended, and the kernel still knows what it read; nobody else tells.
os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
wall = time.perf_counter() - begun
with open(f"/proc/{process.pid}/io", encoding="utf-8") as file:
    counts = dict(line.split(": ") for line in file)
status = process.wait()
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(report, "w", encoding="utf-8") as file:
    json.dump(
        {
            "wall": wall,
            "cpu": used.ru_utime + used.ru_stime,
            "peak": used.ru_maxrss * 1024,  # of the largest one; Linux counts in KiB
            "read": int(counts["rchar"]),  # by all calls, from the page cache too; of the program alone
            "written": used.ru_oublock * 512,
        },
        file,
    )
sys.exit(status if status >= 0 else 128 - status)
