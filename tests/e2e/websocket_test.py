"""A real WebSocket server and client (Debian's python3-websockets) through the proxy."""
import json, os, pathlib, subprocess, time

from lab import Control, Lab

PYTHON = "/usr/bin/python3"
SERVER = """
import asyncio, sys, websockets
async def echo(ws):
    async for message in ws:
        await ws.send(message[::-1])
async def main():
    async with websockets.serve(echo, "127.0.0.1", int(sys.argv[1])):
        await asyncio.Future()
asyncio.run(main())
"""
CLIENT = """
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1], host="127.0.0.1", port=int(sys.argv[2])) as ws:
        for message in ("hello", "x" * 300000, b"\\x00\\x01\\x02"):
            await ws.send(message)
            assert await ws.recv() == message[::-1]
        await ws.ping()
    print("echoed")
asyncio.run(main())
"""


class WebSocket(Lab):
    def setUp(self):
        super().setUp()
        if subprocess.run([PYTHON, "-c", "import websockets"], capture_output=True).returncode != 0:
            self.skipTest("python3-websockets is not installed")
        self.processes.append(subprocess.Popen([PYTHON, "-c", SERVER, str(self.ws)]))
        time.sleep(1)

    def tearDown(self):
        if len(self.processes) > 2:
            server = self.processes.pop()
            server.terminate()
            server.wait()
        super().tearDown()

    def connect(self, path="/ws"):
        return subprocess.run([PYTHON, "-c", CLIENT, "ws://a.test" + path, str(self.port)], capture_output=True, text=True, timeout=30)

    def test_messages_both_ways(self):
        result = self.connect()
        self.assertEqual(result.stdout, "echoed\n", result.stderr)
        c = Control(self.sock)
        d = c.ask({"cmd": "get", "request": c.ask({"cmd": "list"})["requests"][-1]["request"]})["detail"]
        c.close()
        self.assertEqual(d["status"], 101)
        fields = {f["name"].lower(): f["value"] for f in d["upstream_request"]["fields"] if not f.get("removed")}
        self.assertEqual((fields["upgrade"], fields["connection"]), ("websocket", "upgrade"))
        self.assertNotIn("websocket", [f["id"] for f in d["findings"]])

    def test_without_the_pair_of_headers(self):
        text = pathlib.Path(self.conf).read_text()
        pathlib.Path(self.conf).write_text(text.replace("proxy_set_header Upgrade $http_upgrade;", ""))
        c = Control(self.sock)
        self.assertTrue(c.ask({"cmd": "reload"})["ok"])
        self.assertNotEqual(self.connect().returncode, 0)
        d = c.ask({"cmd": "get", "request": c.ask({"cmd": "list"})["requests"][-1]["request"]})["detail"]
        c.close()
        self.assertIn("websocket", [f["id"] for f in d["findings"]])

    def test_held_before_the_upgrade(self):
        c = Control(self.sock)
        c.ask({"cmd": "debug"})
        c.ask({"cmd": "break", "phase": "upstream response header", "filter": "path=/ws"})
        client = subprocess.Popen([PYTHON, "-c", CLIENT, "ws://a.test/ws", str(self.port)], stdout=subprocess.PIPE, text=True)
        held = c.read()
        self.assertEqual((held["event"], held["phase"]), ("held", "upstream response header"))
        time.sleep(0.3)
        c.s.sendall(json.dumps({"cmd": "continue", "all": True}).encode() + b"\n")
        self.assertEqual(client.communicate(timeout=20)[0], "echoed\n")
        c.close()
