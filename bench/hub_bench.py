#!/usr/bin/env python3
"""The hub from outside, on a node of its own: how long a launch takes, what an idle hub holds, and requests end to end —
OSCORE over HTTP, the vacancy example's rule in JavaScript, archive on disk — beside Node-RED, which gets the same
readings from the same generator as plain HTTP, runs the same rule, and keeps nothing.
    hub_bench.py BUILD    prints lines for build/bench.tsv"""
import os, pathlib, re, shutil, socket, subprocess, sys, tempfile, time

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
