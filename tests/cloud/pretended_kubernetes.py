"""A Kubernetes for a test: it answers what Snakemake's plugin asks, and runs each pod in a folder.

A pod has its command, its secrets and an empty working folder; its image is this environment.
"""

import base64
import json
import os
import re
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SECRETS = re.compile(r"/api/v1/namespaces/landscapes/secrets(?:/(?P<name>[^/?]+))?")
JOBS = re.compile(r"/apis/batch/v1/namespaces/landscapes/jobs(?:/(?P<name>[^/?]+))?")
PODS = re.compile(r"/api/v1/namespaces/landscapes/pods")


class Kubernetes:
    """Serves until it is closed.

    Attributes:
        bodies: What every job was asked for with, in order.
        secrets: Those that are there.
    """

    def __init__(self, folder, environment):
        self.folder, self.environment = folder, environment
        self.bodies, self.secrets, self.pods = [], {}, {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size) or b"null")
                found = outer.asked(self.command, self.path, body)
                said = json.dumps(found if found is not None else {"kind": "Status"}).encode()
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def write_config(self, path):
        """Write what kubectl and the plugin read to find us."""
        here = {"cluster": "here", "user": "me", "namespace": "default"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": here}],
            "clusters": [
                {
                    "name": "here",
                    "cluster": {"server": f"http://127.0.0.1:{self.server.server_port}"},
                }
            ],
            "users": [{"name": "me", "user": {"token": "secret"}}],
        }
        Path(path).write_text(json.dumps(config))  # JSON is YAML

    def asked(self, verb, path, body):
        if SECRETS.match(path) and verb == "POST":
            self.secrets[body["metadata"]["name"]] = body
            return body
        if (found := SECRETS.match(path)) and verb == "DELETE":
            return self.secrets.pop(found["name"], None)
        if JOBS.match(path) and verb == "POST":
            self.bodies.append(body)
            self.pods[body["metadata"]["name"]] = self.start(body)
            return body
        if (found := JOBS.match(path)) and found["name"] in self.pods:
            code = self.pods[found["name"]].poll()
            how = "active" if code is None else "failed" if code else "succeeded"
            return {"metadata": {"name": found["name"]}, "status": {how: 1}}
        if PODS.match(path):
            return {"items": []}
        return None

    def start(self, body):
        pod = body["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        machine = self.folder / body["metadata"]["name"]
        machine.mkdir()
        for name in ("evaluations.txt", "hold"):  # the test's own
            (machine / name).symlink_to(self.folder.parent / "head" / name)
        variables = {}
        for one in container["env"]:
            where = one["valueFrom"]["secretKeyRef"]
            variables[one["name"]] = self.value(where["name"], where["key"])
        with (machine / "log").open("wb") as log:
            return subprocess.Popen(
                [*container["command"], *container["args"]],
                cwd=machine,
                env={**self.environment, **variables},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def value(self, secret, key):
        found = self.secrets[secret]
        if key in (found.get("stringData") or {}):
            return found["stringData"][key]
        return base64.b64decode(found["data"][key]).decode()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        for pod in self.pods.values():
            if pod.poll() is None:
                os.killpg(pod.pid, signal.SIGKILL)
            pod.wait()
