#!/usr/bin/env python3
"""The hub from outside, on a node of its own: how long a launch takes, what an idle hub holds, and requests end to end —
OSCORE over HTTP, the vacancy example's rule in JavaScript, archive on disk — beside Node-RED, which gets the same
readings from the same generator as plain HTTP, runs the same rule, and keeps nothing. And how long the messages of a
handshake are in which the owner meets it: certificates on both sides, the node's whole evidence.
    hub_bench.py BUILD    prints lines for build/bench.tsv"""
import http.client, http.server, json, os, pathlib, re, shutil, socket, subprocess, sys, tempfile, threading, time

BUILD = pathlib.Path(sys.argv[1]).resolve()
HERE = pathlib.Path(__file__).resolve().parent
EXAMPLE = HERE.parent / 'examples/vacancy'
CLIENTS, CONNECTIONS, SECONDS, RUNS, LAUNCHES = 8, 64, 6, 3, 9


def line(name, value, unit, peer='-', peer_value=0.0, runs=()):
    spread = (max(runs) - min(runs)) / min(runs) if runs else 0
    ratio = value / peer_value if peer_value else 0
    print(f'{name}\t{value:.4g}\t{unit}\t{peer}\t{peer_value:.4g}\t{ratio:.4g}\t{spread:.2f}', flush=True)


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as trial:
        trial.bind(('127.0.0.1', 0))
        return trial.getsockname()[1]


class Node:
    def __init__(self, home):
        self.home, self.port = home, free_port(socket.SOCK_STREAM)
        self.bastide('init', '--insecure-dev', '--http', f'127.0.0.1:{self.port}', '--coap',
                     f'127.0.0.1:{free_port(socket.SOCK_DGRAM)}')
        self.names = [f'sensor{i}' for i in range(CLIENTS)]
        for name in [*self.names, 'phone', 'valve']:
            self.bastide('client', 'add', name)
        self.bastide('rule', 'add', '--name', 'vacancy', '--when', '*:reading', '--condition', EXAMPLE / 'condition.js',
                     '--reads', 'phone:presence', '--reads', 'phone:planner', '--do', 'valve:set', '--transform',
                     EXAMPLE / 'transform.js', '--sample', EXAMPLE / 'sample.json')
        self.secrets = [home / 'owner/clients' / name for name in self.names]

    def bastide(self, *words):
        done = subprocess.run([BUILD / 'bastide', '--home', self.home, *words], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if done.returncode:
            sys.exit(f'hub_bench: bastide {words[0]}: {done.stderr.strip()}')

    def launch(self):
        """ms and process of the launch that the monitor told last."""
        told = re.findall(r'enclave_ready launch=\d+ pid=(\d+) ms=(\d+)', (self.home / 'run/keyholder.log').read_text())
        return int(told[-1][1]), int(told[-1][0])

    def memory(self):
        """MB that the hub shares with nobody: heap, stacks, contexts in secret memory; its program, once here."""
        rollup = pathlib.Path(f'/proc/{self.launch()[1]}/smaps_rollup').read_text()
        return sum(int(kib) for kib in re.findall(r'^Private_\w+: +(\d+) kB$', rollup, re.M)) * 1024 / 1e6


class NodeRed:
    def __init__(self):
        home = BUILD.parent / 'node-red'
        home.mkdir(exist_ok=True)
        for name in ('package.json', 'package-lock.json', 'flows.json', 'settings.js'):
            shutil.copy(HERE / 'node-red' / name, home)
        program = home / 'node_modules/node-red/red.js'
        if not program.exists():
            subprocess.run(['npm', 'ci', '--no-audit', '--no-fund'], cwd=home, check=True, stdout=sys.stderr)
        self.port, self.secrets = free_port(socket.SOCK_STREAM), []
        self.process = subprocess.Popen(['node', program, '--userDir', home, '--settings', home / 'settings.js'], cwd=home,
                                        env={**os.environ, 'PORT': str(self.port), 'NODE_ENV': 'production'},
                                        stdout=subprocess.DEVNULL, stderr=sys.stderr)
        for _ in range(300):
            try:
                return socket.create_connection(('127.0.0.1', self.port), 1).close()
            except OSError:
                time.sleep(0.1)
        sys.exit('hub_bench: Node-RED does not start')


class Relay(http.server.BaseHTTPRequestHandler):
    """In front of a node's HTTP port: hands everything on and notes the bodies of EDHOC's messages."""
    to, bodies = 0, []

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        onward = http.client.HTTPConnection('127.0.0.1', self.to)
        onward.request(self.command, self.path, body, dict(self.headers))
        answer = onward.getresponse()
        said = answer.read()
        if self.path == '/.well-known/edhoc':
            self.bodies += [body, said]
        self.send_response(answer.status)
        for name in ('Content-Type', 'OSCORE'):
            if answer.getheader(name):
                self.send_header(name, answer.getheader(name))
        self.send_header('Content-Length', str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST

    def log_message(self, *words):
        pass


def handshake(node):
    """The four bodies of one handshake. `true` before message 1 and C_R before message 3 travel too and are not counted."""
    Relay.to, settings = node.port, node.home / 'run/node.json'
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Relay)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kept = settings.read_text()
    settings.write_text(json.dumps({**json.loads(kept), 'http': f'127.0.0.1:{server.server_port}'}))
    try:
        node.bastide('report')
    finally:
        settings.write_text(kept)
        server.shutdown()
    if len(Relay.bodies) != 4 or Relay.bodies[0][0] != 0xf5 or Relay.bodies[2][0] != 0x43:
        sys.exit(f'hub_bench: no plain handshake: {[len(body) for body in Relay.bodies]}')
    return [len(Relay.bodies[0]) - 1, len(Relay.bodies[1]), len(Relay.bodies[2]) - 4, len(Relay.bodies[3])]


def load(server, rate=0):
    """requests a second, median ms, p99 ms"""
    done = subprocess.run([BUILD / 'bench/hub_load', str(server.port), str(CONNECTIONS), str(SECONDS), str(rate),
                           EXAMPLE / 'datatest.txt', *server.secrets], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f'hub_bench: {done.stderr.strip()}')
    return [float(word) for word in done.stdout.split()]


def main():
    home = pathlib.Path(tempfile.mkdtemp(prefix='bastide-bench-'))
    node = red = None
    try:
        node = Node(home)
        launches = []
        for _ in range(LAUNCHES):
            node.bastide('down')
            node.bastide('up')
            launches.append(node.launch()[0])
        line('enclave.launch', min(launches), 'ms', runs=launches)
        for number, size in enumerate(handshake(node), 1):
            line(f'edhoc.bytes_evidence_message_{number}', size, 'B')
        red = NodeRed()
        time.sleep(2)
        ours, theirs = [], []
        for _ in range(RUNS):  # in turn, so that whatever else the machine does meets both
            ours.append(load(node)[0])
            theirs.append(load(red)[0])
        line('hub.requests', max(ours), '1/s', 'Node-RED', max(theirs), ours)
        tails = [load(node, max(ours) / 2)[2] for _ in range(RUNS)]
        line('hub.p99', min(tails), 'ms', 'Node-RED at half its own', min(load(red, max(theirs) / 2)[2] for _ in range(RUNS)), tails)
        line('enclave.idle_memory', node.memory(), 'MB')
    finally:
        if red:
            red.process.terminate()
            red.process.wait()
        if node:
            node.bastide('down')
        shutil.rmtree(home, ignore_errors=True)


main()
