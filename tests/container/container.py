"""The image under podman, restricted as in Kubernetes.

In: ROWLIFT_IMAGE, its name; ROWLIFT_CLIENT, a binary to ask it with. Out: a running service. Everything
that waits has a bound and says what it waited for.
"""

import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.request
import uuid

IMAGE = os.environ["ROWLIFT_IMAGE"]
CLIENT = os.environ["ROWLIFT_CLIENT"]
WAIT_SECONDS = 30
PODMAN = ["podman", "--runtime=/usr/sbin/runc", "--cgroup-manager=cgroupfs"]
# No engine of Kubernetes is at hand: these are its restricted profile's settings, by podman's names. The
# network is the host's because a container's own needs more than a test machine may have.
RESTRICTED = [
    "--pull=never",
    "--network=host",
    "--read-only",
    # podman would otherwise mount writable tmpfs of its own over a read-only root.
    "--read-only-tmpfs=false",
    "--memory=4g",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=4096:4096",
    # /run and the like stay unwritable: this is the emptyDir.
    "--tmpfs=/var/spool/rowlift:size=64m,mode=1777",
]


def podman(*arguments, check=True):
    """Runs podman to its end; its result."""
    return subprocess.run([*PODMAN, *arguments], capture_output=True, text=True, check=check, timeout=WAIT_SECONDS * 2)


def inspect():
    """What the image says of itself."""
    return json.loads(podman("image", "inspect", IMAGE).stdout)[0]


def free_addresses():
    """Two addresses of loopback that nobody listens on just now."""
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{probe.getsockname()[1]}" for probe in (one, other)]


class Service:
    """`rowlift serve` in a container, on SQLite in its spool's volume; to be used with `with`."""

    def __init__(self, *options, **env):
        self.name = f"rowlift-test-{uuid.uuid4().hex[:12]}"
        self.address, self.admin = free_addresses()
        env = {
            "ROWLIFT_LISTEN": self.address,
            "ROWLIFT_ADMIN_LISTEN": self.admin,
            "ROWLIFT_DATABASE_URL": "sqlite:///var/spool/rowlift/test.db?mode=rwc",
            "ROWLIFT_LOG_FORMAT": "json",
            **env,
        }
        variables = [f"--env={name}={value}" for name, value in env.items()]
        podman("run", "--detach", f"--name={self.name}", *RESTRICTED, *options, *variables, IMAGE)
        try:
            self.wait_for("the service is ready", self.is_ready)
        except BaseException:
            print(self.logs())
            self.remove()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        podman("rm", "--force", "--time=0", self.name)

    def logs(self):
        done = podman("logs", self.name, check=False)
        return done.stdout + done.stderr

    def state(self):
        return json.loads(podman("container", "inspect", self.name).stdout)[0]["State"]

    def is_ready(self):
        if not self.state()["Running"]:
            raise AssertionError("the service has ended")
        try:
            return self.get("/readyz") == "ready\n"
        except OSError:
            return False

    def get(self, path):
        """What the admin port answers."""
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=WAIT_SECONDS) as answer:
            return answer.read().decode()

    def pid(self):
        """Of process 1 of the container, outside of it."""
        return self.state()["Pid"]

    def proc(self, name):
        """A file of process 1 in /proc."""
        return pathlib.Path(f"/proc/{self.pid()}/{name}").read_text()

    def status(self):
        """/proc/PID/status by field."""
        return dict(line.split(":\t", 1) for line in self.proc("status").splitlines() if ":\t" in line)

    def children(self):
        """Processes in the container but the first."""
        namespace = os.readlink(f"/proc/{self.pid()}/ns/pid")
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "ns/pid") == namespace:
                    found.append(int(entry.name))
            except OSError:
                continue  # It has ended meanwhile.
        return sorted(set(found) - {self.pid()})

    def client(self, command, *arguments, check=True):
        """Runs a command of the client against this service; over TLS if it names a CA."""
        scheme = "https" if any(it.startswith("--ca-file=") for it in arguments) else "http"
        return subprocess.run(
            [CLIENT, command, *arguments, "--addr", f"{scheme}://{self.address}"],
            capture_output=True, text=True, check=check, timeout=WAIT_SECONDS * 2,
        )  # fmt: skip

    def import_file(self, path, *arguments):
        """Exit code and ImportResult of an import into businesses."""
        done = self.client("import", str(path), "--table", "businesses", "--json", *arguments, check=False)
        lines = done.stdout.splitlines()
        if not lines:
            raise AssertionError(f"no result: {done.stderr}")
        return done.returncode, json.loads(lines[-1])

    def terminate(self):
        """SIGTERM to process 1; its exit code and how long it took, seconds."""
        begun = time.monotonic()
        podman("kill", "--signal=TERM", self.name)
        self.wait_for("the service ends", lambda: not self.state()["Running"])
        return self.state()["ExitCode"], time.monotonic() - begun

    @staticmethod
    def wait_for(what, condition):
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {WAIT_SECONDS} s in vain: {what}")
            time.sleep(0.05)
