"""A registry that has every image: the saved image FILE under any name and tag, with both as labels.

Each node of the lab has one at its loopback address, where engines need no TLS. `docker pull` and `docker run` of an
absent image then work without the internet. The tag `none` does not exist.
"""

import gzip
import hashlib
import json
import sys
import tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Registry(BaseHTTPRequestHandler):
    """Answers for one image; `config` and `layer` are set at the start."""

    protocol_version = "HTTP/1.1"
    config, layer = {}, b""

    def image(self, name, tag):
        config = dict(self.config)
        config["config"] = dict(config.get("config") or {}, Labels={"name": name, "tag": tag})
        config = json.dumps(config).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "size": len(config), "digest": digest(config)},
            "layers": [{"mediaType": LAYER, "size": len(self.layer), "digest": digest(self.layer)}],
        }
        manifest = json.dumps(manifest).encode()
        self.known[digest(config)] = config
        self.known[digest(manifest)] = manifest
        return manifest

    def do_GET(self):
        if self.path == "/v2/":
            return self.answer(200, "application/json", b"{}")
        name, _, rest = self.path.removeprefix("/v2/").rpartition("/manifests/")
        if name:
            found = self.known.get(rest) or (None if rest == "none" else self.image(name, rest))
            if found:
                return self.answer(200, MANIFEST, found)
            error = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            return self.answer(404, "application/json", json.dumps(error).encode())
        blob = self.known.get(self.path.rpartition("/blobs/")[2])
        if blob is None:
            return self.answer(404, "application/json", b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}')
        return self.answer(200, "application/octet-stream", blob)

    do_HEAD = do_GET

    def answer(self, status, media_type, body):
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        if status == 200 and self.path != "/v2/":
            self.send_header("Docker-Content-Digest", digest(body))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    with tarfile.open(sys.argv[1]) as saved:
        listed = json.load(saved.extractfile("manifest.json"))[0]
        Registry.config = json.load(saved.extractfile(listed["Config"]))
        [layer] = listed["Layers"]
        Registry.layer = gzip.compress(saved.extractfile(layer).read(), mtime=0)
    Registry.known = {digest(Registry.layer): Registry.layer}
    server = ThreadingHTTPServer(("127.0.0.1", 5000), Registry)
    print("ready", flush=True)
    server.serve_forever()


main()
