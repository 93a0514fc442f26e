#!/usr/bin/env python3
"""make run: a node on this machine, three clients, real readings, the vacancy rule — and what an onlooker finds of it.

  --once    exit when the replay is over: 0 when everything held, 1 with what did not
  --crash   kill one process after the other in the middle (not the key holder), and compare after each
  --secrets give the clients secrets agreed on beforehand, instead of codes by which they enrol
  --home D  where the node lives (a new directory if left out)
Environment: SPEED=60 replays 60 minutes a second; as fast as it goes if left out (with --crash: 120)."""
import argparse, json, os, pathlib, re, shutil, signal, socket, sqlite3, subprocess, sys, tempfile, threading, time

import plan

HERE = pathlib.Path(__file__).parent
BUILD = pathlib.Path(os.environ.get('BASTIDE_BUILD', HERE.parent.parent / 'build/dev'))
ROOT = os.geteuid() == 0
AGREEMENT_LEAST = 0.95
VICTIMS = ('bastided', 'hub', 'monitor', 'up', 'swtpm', 'monitor', 'hub', 'bastided')
RETURN_S = 60
CRASH_SPEED = 120  # minutes a second: slow enough that every kill falls into the replay


class Failed(Exception):
    pass


def say(text):
    print(f'\r\033[K{text}' if sys.stdout.isatty() else text, flush=True)


def free_port(kind, wanted):
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET, kind) as trial:
            try:
                trial.bind(('127.0.0.1', port))
                return f'127.0.0.1:{trial.getsockname()[1]}'
            except OSError:
                continue


class Node:
    def __init__(self, home):
        self.home = pathlib.Path(home)
        self.coap, self.http = free_port(socket.SOCK_DGRAM, 5683), free_port(socket.SOCK_STREAM, 8080)

    def bastide(self, *words, check=True, given=''):
        done = subprocess.run([BUILD / 'bastide', '--home', self.home, '--json', *words], input=given,
                              capture_output=True, text=True)
        if check and done.returncode:
            raise Failed(f'bastide {words[0]}: exit code {done.returncode}: {done.stderr.strip()}')
        return done.stdout

    def set_up(self, secrets):
        self.bastide('init', '--insecure-dev', '--coap', self.coap, '--http', self.http)
        for name in ('sensor', 'phone', 'valve'):
            if secrets:
                self.bastide('client', 'add', name)
            else:  # what a device does that has the code alone: EDHOC, the hub's evidence, a certificate for the code
                code = json.loads(self.bastide('client', 'add', name, '--code'))['code']
                self.bastide('client', 'enrol', '-', '--url', f'coap://{self.coap}', given=code)
        self.bastide('rule', 'add', '--name', 'vacancy', '--when', 'sensor:reading', '--condition', HERE / 'condition.js',
                     '--reads', 'phone:presence', '--reads', 'phone:planner', '--do', 'valve:set', '--transform',
                     HERE / 'transform.js', '--sample', HERE / 'sample.json')

    def status(self):
        return json.loads(self.bastide('status', check=False) or '{}')

    def pids(self):
        return {name: facts['pid'] for name, facts in self.status().get('processes', {}).items() if facts}

    def wait(self, what=lambda status: status.get('node') == 'serving'):
        end = time.monotonic() + RETURN_S
        while time.monotonic() < end:
            status = self.status()
            if what(status):
                return status
            time.sleep(0.1)
        raise Failed(f'the node did not come back within {RETURN_S} s: {status}')

    def history(self):
        return [plan.parse(line) for line in self.bastide('history', '--follow-pages', '--limit', '500').splitlines()]


# ---- what an onlooker finds ----

def needles(home, path):
    """Every reading's humidity ratio (17 digits that nothing else spells), names of properties, a line of the rule, and
    the clients' secrets or private keys. Sessions that EDHOC agreed on have keys that are kept nowhere."""
    words = {plan.parse(properties)['humidityRatio'].encode() for _, properties, _ in plan.readings()}
    words |= {b'"humidityRatio":', b'const stale = co2'}
    for file in (home / 'owner/clients').iterdir():
        data = file.read_bytes()
        if enrolled := re.search(rb'[\xf4\xf5]{2}\x58\x20(.{32})', data, re.S):  # …, mode, monitor], private key, …
            words.add(enrolled[1])
            continue
        at = 2 if data[1] < 24 else 3
        long = data[at] == 0x58  # CBOR: [algorithm, master secret, …]
        size = data[at + 1] if long else data[at] & 31
        words.add(data[at + 1 + long:at + 1 + long + size])
    path.write_text(''.join(word.hex() + '\n' for word in sorted(words) if len(word) >= 8))
    return len(words)


def scan(work, *words):
    done = subprocess.run([BUILD / 'bastide-scan', '--needles', work / 'needles', *map(str, words)], capture_output=True,
                          text=True)
    rows = [line.split('\t') for line in done.stdout.splitlines()]
    return {'bytes': sum(int(row[2]) for row in rows), 'hits': sum(int(row[4]) for row in rows),
            'notes': [row[5] for row in rows if row[5]], 'good': done.returncode == 0 and bool(rows)}


def scan_memory(node, work, found):
    """/proc/PID/mem of everything that runs; the replaying client is the control, where the needles must be."""
    pids = node.pids()
    for name in ('keyholder', 'monitor', 'hub', 'bastided'):
        if name in pids:
            result = scan(work, '--paths', 'mem', pids[name])
            if result['good'] and not result['notes']:
                found.setdefault('memory', []).append((name, result))


def scan_files(node, work, table):
    files = [file for folder in ('node', 'run', 'tpm') for file in (node.home / folder).rglob('*') if file.is_file()]
    table['plaintext in archive and node files'] = scan(work, '--files', *files)
    # SQLite cuts long values into pages: the sealed blobs are looked through whole, too. The file itself is locked.
    blobs = work / 'blobs'
    for file in (node.home / 'node').glob('archive.db*'):
        shutil.copy(file, work)
    with blobs.open('wb') as out, sqlite3.connect(work / 'archive.db') as archive:
        for (name,) in archive.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in archive.execute(f'SELECT * FROM "{name}"'):
                out.write(b''.join(cell for cell in row if isinstance(cell, bytes)))
    table['plaintext in sealed blobs'] = scan(work, '--files', blobs)


# ---- acknowledged means: it is in the history ----

def acknowledged(path):
    return dict(line.rstrip('\n').split('\t', 1) for line in path.read_text().splitlines(True) if line.endswith('\n'))


def compare(known, rows):
    """Row by row: every acknowledged event stands in the archive, once, as it was sent."""
    events = [row['message'] for row in rows if row['kind'] == 'event']
    kept = {event['id']: event for event in events}
    if len(kept) != len(events):
        raise Failed(f'{len(events) - len(kept)} events stand in the archive twice')
    for name, body in known.items():
        sent = plan.parse(body)
        if name not in kept:
            raise Failed(f'acknowledged and not in the archive: {name}')
        for member in ('type', 'time', 'properties'):
            if kept[name][member] != sent[member]:
                raise Failed(f'{name}: {member} is {kept[name][member]}, sent was {sent[member]}')
    return len(known)


def crash(node, list_path, total, outcome, replay):
    """Kill, wait until it serves, compare; spread over the replay."""
    try:
        for turn, victim in enumerate(VICTIMS):
            goal = total * (turn + 1) // (len(VICTIMS) + 1)
            while len(acknowledged(list_path)) < goal and replay.poll() is None:
                time.sleep(0.02)
            pids = node.pids()
            if victim not in pids:
                node.wait(lambda status: status.get('node') == 'serving')
                pids = node.pids()
            os.kill(pids[victim], signal.SIGKILL)
            if victim == 'up':
                node.bastide('up')
            node.wait(lambda status: status.get('node') == 'serving' and
                      status['processes'].get(victim, {}).get('pid') != pids[victim])
            known = acknowledged(list_path)
            count = compare(known, node.history())
            say(f'killed {victim} (pid {pids[victim]}): it serves again, all {count} acknowledged events are there')
            outcome['kills'] = outcome.get('kills', 0) + 1
    except (Failed, KeyError, OSError) as problem:
        outcome['problem'] = f'after killing {victim}: {problem}'


# ---- the run ----

def start_watch(node, path):
    return subprocess.Popen([BUILD / 'bastide', '--home', node.home, '--json', 'watch', '--as', 'valve', '--coap'],
                            stdin=subprocess.DEVNULL, stdout=path.open('w'), stderr=subprocess.DEVNULL)


def watched(path):
    return [json.loads(line) for line in path.read_text().splitlines(True) if line.endswith('\n')]


def replay_all(node, work, options, table, outcome):
    story = list(plan.events(float(os.environ.get('SPEED') or (CRASH_SPEED if options.crash else 0))))
    list_path, actions_path = work / 'acknowledged', work / 'actions'
    (work / 'plan').write_text(''.join('\t'.join(map(str, event)) + '\n' for event in story))
    list_path.touch()
    watch = start_watch(node, actions_path)
    capture = None
    if ROOT:
        ports = [address.rpartition(':')[2] for address in (node.coap, node.http)]
        capture = subprocess.Popen([sys.executable, HERE / 'capture.py', work / 'wire', *ports], stdout=subprocess.PIPE)
        capture.stdout.readline()
    replay = subprocess.Popen([BUILD / 'vacancy-replay', f'coap://{node.coap}', node.home / 'owner/clients', list_path],
                              stdin=(work / 'plan').open(), stdout=subprocess.PIPE, text=True)
    if options.crash:
        threading.Thread(target=crash, args=(node, list_path, len(story), outcome, replay), daemon=True).start()
    found = {}
    if ROOT:
        while replay.poll() is None and len(acknowledged(list_path)) < len(story) // 3:
            time.sleep(0.01)
        scan_memory(node, work, found)
        table['control'] = scan(work, '--paths', 'mem', replay.pid)
    result = json.loads(replay.communicate()[0])
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join()
    status = node.wait()
    rows = node.history()
    actions = [row['message'] for row in rows if row['kind'] == 'action']
    end = time.monotonic() + 30
    while len(watched(actions_path)) < len(actions) and time.monotonic() < end:
        time.sleep(0.1)
    watch.terminate()  # not SIGINT: whoever runs this in the background has it ignored
    watch.wait()
    if ROOT:
        scan_memory(node, work, found)
        capture.terminate()
        table['capture complete'] = capture.wait() == 0
        table['plaintext on the wire'] = scan(work, '--files', work / 'wire')
        scan_files(node, work, table)
        table['memory'] = found.get('memory', [])
    table.update(result=result, status=status, actions=actions, delivered=watched(actions_path),
                 compared=compare(acknowledged(list_path), rows), readings=sum(event[1] == 'sensor' for event in story))


def judge(table, options, outcome):
    """What must hold: (name, value to print, held)."""
    result, counts = table['result'], table['status']['hub']['counts']
    delivered = [action['cursor'] for action in table['delivered']]
    share = plan.agreement([(action['properties']['at'], action['properties']['on']) for action in table['actions']])
    kept = [int(action['cursor']) for action in reversed(table['actions'])]
    yield 'readings accepted', f'{result["acknowledged"]} of {result["sent"]} events ({table["readings"]} readings), ' \
        f'{result["acknowledged"] / result["seconds"]:.0f} a second', result['acknowledged'] == result['sent']
    yield 'found again in the history', f'{table["compared"]}, row by row', table['compared'] == result['sent']
    since = ' since the last kill' if options.crash else ''
    yield 'rule evaluations', f'{counts["evaluations"]}{since}, {counts["failures"]} failed', \
        counts['failures'] == 0 and (options.crash or counts['evaluations'] >= table['readings'])
    yield 'actions delivered', f'{len(delivered)} of {len(kept)}, each once', delivered == kept and len(kept) > 0
    yield 'latency', f'median {result["median_ms"]:.2f} ms, p99 {result["p99_ms"]:.2f} ms', True
    yield 'agreement with the pictures', f'{100 * share:.2f} %', share >= AGREEMENT_LEAST
    if options.crash:
        yield 'kills survived', f'{outcome.get("kills", 0)} of {len(VICTIMS)}', \
            outcome.get('kills') == len(VICTIMS) and 'problem' not in outcome
    names = ('plaintext on the wire', 'plaintext in archive and node files', 'plaintext in sealed blobs')
    if not ROOT:
        for name in (*names, 'plaintext in memory'):
            yield name, 'not checked: needs root', True
        return
    for name in names:
        yield name, f'{table[name]["hits"]} in {table[name]["bytes"]} bytes', \
            table[name]['good'] and table[name]['hits'] == 0 and table[name]['bytes'] > 0
    memory = table['memory']
    hits = sum(result['hits'] for _, result in memory)
    seen = {name for name, _ in memory}
    yield 'plaintext in memory', f'{hits} in {sum(result["bytes"] for _, result in memory)} bytes of ' \
        f'{", ".join(sorted(seen))}', hits == 0 and {'hub', 'monitor', 'bastided'} <= seen
    yield 'the same scan finds it in the client', f'{table["control"]["hits"]} places', table['control']['hits'] > 0
    yield 'the capture missed nothing', 'yes' if table['capture complete'] else 'no', table['capture complete']


def main():
    parser = argparse.ArgumentParser(usage='make run ARGS="--once --crash"', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--once', action='store_true')
    parser.add_argument('--crash', action='store_true')
    parser.add_argument('--secrets', action='store_true')
    parser.add_argument('--home')
    options = parser.parse_args()
    home = options.home or tempfile.mkdtemp(prefix='bastide-')
    work = pathlib.Path(tempfile.mkdtemp(prefix='bastide-run-'))
    node, table, outcome, held = Node(home), {}, {}, []
    serving = False
    try:
        say('starting a node: owner, software TPM, key holder, monitor, hub in its enclave …')
        node.set_up(options.secrets)
        needles(node.home, work / 'needles')
        say(f'serving on coap://{node.coap} and http://{node.http}; sensor, phone and valve '
            + ('are registered' if options.secrets else 'have verified its evidence and enrolled'))
        replay_all(node, work, options, table, outcome)
        print()
        for name, value, good in judge(table, options, outcome):
            print(f'{name:<38} {value}{"" if good else "   FAILED"}')
            held += [] if good else [name]
        evidence = json.loads(node.bastide('report'))
        print(f'{"verified report":<38} measurement {evidence["measurement"]}')
        print(f'{"":<38} {evidence["mode"]}, monitor {"measured" if evidence["monitor_measured"] else "unmeasured"}, '
              f'missing: {", ".join(name for name, stands in evidence["walls"].items() if not stands) or "nothing"}')
        print(f'{"":<38} {evidence["secret_bytes"]} bytes secret, {evidence["unprotected_bytes"]} bytes unprotected'
              + (' (RLIMIT_MEMLOCK; ulimit -l raises it)' if evidence['unprotected_bytes'] else ''))
        if 'problem' in outcome:
            print(f'failed: {outcome["problem"]}')
        serving = not options.once
    except Failed as problem:
        held.append(str(problem))
    except KeyboardInterrupt:
        held.append('interrupted')
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if not serving:
            node.bastide('down', check=False)
            if not options.home and not held:
                shutil.rmtree(home, ignore_errors=True)
    if serving:
        print(f'\nThe node keeps serving. Talk to it:\n  export BASTIDE_HOME={home}\n'
              f'  {BUILD}/bastide history --limit 5\n  {BUILD}/bastide watch --as valve\n'
              f"  {BUILD}/bastide send --as sensor reading '{{\"light\": 0, \"co2\": 420}}'\n  {BUILD}/bastide down")
    if held:
        print(f'\nfailed: {"; ".join(held)}' + (f'\nlogs: {home}/run' if not serving else ''))
    return 1 if held else 0


if __name__ == '__main__':
    sys.exit(main())
