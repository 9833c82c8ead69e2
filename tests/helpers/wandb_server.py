"""A stand-in on this machine for the part of the W&B API that downloads a run's files."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

RUN = {
    "id": "r", "projectId": 1, "displayName": "", "state": "finished", "config": "{}", "group": None, "jobType": None,
    "commit": None, "readOnly": False, "createdAt": "2026-01-01T00:00:00", "heartbeatAt": "2026-01-01T00:00:00",
    "description": "", "notes": "", "systemMetrics": "{}", "summaryMetrics": "{}", "historyLineCount": 0,
    "user": {"name": "x", "username": "x"}, "historyKeys": None, "tags": [], "sweepName": None,
}  # fmt: skip
VIEWER = {
    "id": "1",
    "entity": "someone",
    "username": "someone",
    "email": "",
    "flags": "{}",
    "teams": {"edges": []},
}


class WandbServer:
    """Serves `runs`: files by run path (`entity/project/id`) and name; notes what was asked for."""

    def __init__(self):
        self.runs = {}
        self.asked, self.served = [], []
        self.announced = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                path = unquote(self.path).removeprefix("/files/")
                outer.served.append(path)
                run, name = "/".join(path.split("/")[:3]), "/".join(path.split("/")[3:])
                self._answer(outer.runs[run][name])

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                try:
                    asked = json.loads(body)
                except ValueError:  # telemetry
                    self._answer(b"{}")
                    return
                self._answer(
                    json.dumps({"data": outer.answer(asked["query"], asked.get("variables") or {})}).encode()
                )

            def _answer(self, content):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, query, given):
        if "viewer" in query:
            return {"viewer": VIEWER}
        path = f"{given.get('entity')}/{given.get('project')}/{given.get('name')}"
        self.asked.append(path)
        if path not in self.runs:
            return {"project": {"internalId": "1", "run": None}}
        if "RunFiles" not in query:
            return {"project": {"internalId": "1", "run": RUN | {"name": given["name"]}}}
        nodes = [self._node(path, name, content) for name, content in self.runs[path].items()]
        # two pages, so that a client that reads only the first is found out
        half = len(nodes) // 2
        start = int(given["fileCursor"] or 0)
        page = nodes[:half] if start < half else nodes[half:]
        edges = [{"cursor": str(start + 1 + i), "node": node} for i, node in enumerate(page)]
        more = start < half
        found = {
            "fileCount": len(nodes),
            "files": {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": more}},
        }
        return {"project": {"internalId": "1", "run": found}}

    def _node(self, path, name, content):
        url = f"{self.url}/files/{path}/{name}"
        size = self.announced.get(name, len(content))
        return {"id": name, "name": name, "url": url, "directUrl": url, "sizeBytes": str(size), "mimetype": "", "updatedAt": "2026-01-01T00:00:00", "md5": ""}  # fmt: skip

    def close(self):
        self._server.shutdown()
        self._server.server_close()
