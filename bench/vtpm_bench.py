#!/usr/bin/env python3
"""A vTPM beside Debian's swtpm, command by command over the same kind of socket from the same client, in turn; how long a
start takes to the first answer; and what an instance holds in memory, one of one and one of many on one node.
    vtpm_bench.py BUILD    prints lines for build/bench.tsv"""
import itertools, os, pathlib, re, shutil, socket, struct, subprocess, sys, tempfile, time

BUILD = pathlib.Path(sys.argv[1]).resolve()
TURNS, STARTS, INSTANCES = 60, 15, 50
PAUSE = 0.4  # s before a start
OWNER, INDEX = 0x40000001, 0x01500016
RETRY = struct.pack('>I', 0x922)
ECC = struct.pack('>HHIHHHHHHHH', 0x23, 0xb, 0x40072, 0, 0x10, 0x18, 0xb, 3, 0x10, 0, 0)
RSA = struct.pack('>HHIHHHHHIH', 1, 0xb, 0x40072, 0, 0x10, 0x14, 0xb, 2048, 0, 0)


def line(name, value, unit, peer='-', peer_value=0.0, runs=()):
    spread = (max(runs) - min(runs)) / min(runs) if runs else 0
    ratio = value / peer_value if peer_value else 0
    print(f'{name}\t{value:.4g}\t{unit}\t{peer}\t{peer_value:.4g}\t{ratio:.4g}\t{spread:.2f}', flush=True)


def plain(code, body=b''):
    return struct.pack('>HII', 0x8001, 10 + len(body), code) + body


def authorised(code, handles, body):
    """With an empty password for the first handle."""
    head = b''.join(struct.pack('>I', handle) for handle in handles)
    head += struct.pack('>IIHBH', 9, 0x40000009, 0, 0, 0)
    return struct.pack('>HII', 0x8002, 10 + len(head) + len(body), code) + head + body


def sized(data):
    return struct.pack('>H', len(data)) + data


def primary(public):
    return authorised(0x131, [OWNER], sized(bytes(4)) + sized(public) + sized(b'') + bytes(4))


def sign(key):
    return authorised(0x15d, [key], sized(bytes(32)) + struct.pack('>HHIH', 0x10, 0x8024, 0x40000007, 0))


def wait_for(what, done, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return
        time.sleep(0.02)
    sys.exit(f'vtpm_bench: {what}')


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(str(path))

    def ask(self, command):
        while True:
            self.socket.sendall(command)
            answer = self.socket.recv(4096)
            if answer[6:10] != RETRY:  # an algorithm that is first used is tested first
                break
        if answer[6:10] != bytes(4):
            sys.exit(f'vtpm_bench: command {command[6:10].hex()} is answered {answer[6:10].hex()}')
        return answer

    def timed(self, command, count, after=None):
        """µs for one of count."""
        used = 0
        for _ in range(count):
            wanted = command() if callable(command) else command
            begin = time.perf_counter_ns()
            answer = self.ask(wanted)
            used += time.perf_counter_ns() - begin
            if after:
                after(answer)
        return used / count / 1000


class Swtpm:
    """Debian's, with its state in a directory."""
    def __init__(self, home):
        self.home, self.process = home, None
        home.mkdir(parents=True)

    def start(self):
        self.process = subprocess.Popen(
            ['swtpm', 'socket', '--tpm2', '--server', f'type=unixio,path={self.home}/tpm.sock', '--ctrl',
             f'type=unixio,path={self.home}/tpm.ctrl', '--tpmstate', f'dir={self.home}', '--flags', 'startup-clear'],
            stdout=subprocess.DEVNULL)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()

    def processes(self):
        return [self.process.pid]

    def socket(self):
        return self.home / 'tpm.sock'


class Node:
    """One machine's: a development TPM, a key holder and its monitor."""
    def __init__(self, home, certificate, *options):
        self.home, self.certificate, self.log = home, certificate, home / 'node.log'
        (home / 'node').mkdir(parents=True)
        (home / 'run').mkdir()
        self.configure(home / 'node', 'node')
        self.tpm = Swtpm(home / 'tpm')
        self.tpm.start()
        wait_for('the development TPM does not come up', self.tpm.socket().exists)
        with self.log.open('w') as log:
            self.holder = subprocess.Popen([BUILD / 'bastide-keyholder', '--home', home, '--image', BUILD / 'vtpm.image', '--tcti',
                                            f'swtpm:path={self.tpm.socket()}', '--insecure-dev', *options], stderr=log)
        wait_for('the node does not serve', lambda: 'monitor serving' in self.log.read_text())

    def configure(self, directory, site):
        subprocess.run([BUILD / 'tests' / 'make_image', 'configuration', directory / 'configuration', self.certificate,
                        'insecure-dev', site], check=True)

    def end(self):
        self.holder.terminate()
        self.holder.wait()
        self.tpm.stop()


class Vtpm:
    """Ours, an instance of a node; started and stopped is its host end, and with it the enclave."""
    def __init__(self, node, name, state=''):
        self.node, self.name, self.state, self.process = node, name, state, None
        directory = node.home / 'node' / 'instances' / name
        directory.mkdir(parents=True)
        node.configure(directory, name)
        (directory / 'image').symlink_to(BUILD / 'vtpm.image')

    def start(self):
        with (self.node.home / f'{self.name}.log').open('a') as log:
            self.process = subprocess.Popen(
                [BUILD / 'bastide-vtpm', 'socket', '--tpm2', '--tpmstate', f'dir={self.node.home},instance={self.name}{self.state}', '--server',
                 f'type=unixio,path={self.socket()}', '--ctrl', f'type=unixio,path={self.socket()}.ctrl', '--flags',
                 'startup-clear'], stderr=log)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()

    def processes(self):
        """The enclave and the host end."""
        text = self.node.log.read_text()
        enclave = re.findall(rf'enclave_ready instance={self.name} launch=\d+ pid=(\d+)', text)[-1]
        return [int(enclave), self.process.pid]

    def socket(self):
        return self.node.home / self.name


def first_answer(tpm):
    """ms from the order to start until random bytes are there."""
    begin = time.perf_counter_ns()
    tpm.start()
    while True:
        try:
            Client(tpm.socket()).ask(plain(0x17b, struct.pack('>H', 8)))
            return (time.perf_counter_ns() - begin) / 1e6
        except OSError:
            if tpm.process.poll() is not None:
                sys.exit(f'vtpm_bench: {tpm.process.args[0]} ended with {tpm.process.returncode}')
            time.sleep(0.0005)


def fdatasync(directory):
    """µs for 4 KiB more of a file made durable: the disk of that minute. A commit waits for one, over what is there already."""
    times = []
    with (directory / 'synced').open('wb', buffering=0) as file:
        for _ in range(100):
            file.write(bytes(4096))
            begin = time.perf_counter_ns()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter_ns() - begin) / 1000)
    return times


def memory(processes, what):
    """MB, of all of them."""
    texts = [pathlib.Path(f'/proc/{process}/smaps_rollup').read_text() for process in processes]
    return sum(int(kib) for text in texts for kib in re.findall(rf'^{what}: +(\d+) kB$', text, re.M)) * 1024 / 1e6


def commands(client, index):
    """name, command, how often in a turn, what follows each answer"""
    ecc, rsa = (struct.unpack('>I', client.ask(primary(public))[10:14])[0] for public in (ECC, RSA))
    public = struct.pack('>IHIHH', index, 0xb, 0x02020002, 0, 8)
    client.ask(authorised(0x12a, [OWNER], sized(b'') + sized(public)))
    numbers = itertools.count(1)  # a TPM does not store what it holds already
    write = lambda: authorised(0x137, [OWNER, index], sized(struct.pack('>Q', next(numbers))) + bytes(2))
    flush = lambda answer: client.ask(plain(0x165, answer[10:14]))
    return [
        ('getrandom', plain(0x17b, struct.pack('>H', 16)), 300, None),
        ('createprimary_ecc', primary(ECC), 8, flush),
        ('sign_ecc', sign(ecc), 30, None),
        ('sign_rsa', sign(rsa), 15, None),
        ('pcr_extend', authorised(0x182, [16], struct.pack('>IH', 1, 0xb) + bytes(32)), 300, None),
        ('quote', authorised(0x158, [ecc], sized(b'nonce') + struct.pack('>HIHB', 0x10, 1, 0xb, 3) + b'\0\0\1'), 30, None),
        ('nv_write', write, 15, None),
    ]


def compare(ours, theirs, index, only=None, called='nv_write'):
    """`called`: what an NV write is, for that depends on who waits for the disk."""
    clients = [Client(tpm.socket()) for tpm in (ours, theirs)]
    wanted = [commands(client, index) for client in clients]
    for mine, other in zip(*wanted):
        if only and mine[0] != only:
            continue
        times = [[], []]
        for _ in range(TURNS):  # short ones, so that whatever else the machine does meets both
            for which, (_, command, count, after) in enumerate((mine, other)):
                times[which].append(clients[which].timed(command, count, after))
        line(f'vtpm.{called if mine[0] == "nv_write" else mine[0]}', min(times[0]), 'µs', 'swtpm', min(times[1]), times[0])


def starts(name, ours, theirs):
    """Each on a machine that does nothing else, as one VM after the other is started; the first, of which nobody knew, is
    not in it."""
    times = [[], []]
    for count in range(STARTS + 1):
        for which, tpm in enumerate((ours, theirs)):
            tpm.stop()
            time.sleep(PAUSE)
            took = first_answer(tpm)
            if count:
                times[which].append(took)
    line(name, min(times[0]), 'ms', 'swtpm', min(times[1]), times[0])


def sizes(own, ours, theirs):
    """An enclave with its host end, an instance's mean; the node's own processes are told apart. The node has its own vTPM,
    as beside the others there is the swtpm that is its TPM."""
    first_answer(own)
    for count in (1, len(ours)):
        for tpm in ours[:count] + theirs[:count]:
            tpm.stop()
            first_answer(tpm)
        time.sleep(1)  # one is held ready again
        for what in ('Rss', 'Pss'):
            line(f'vtpm.{what.lower()}_{count}', sum(memory(tpm.processes(), what) for tpm in ours[:count]) / count, 'MB', 'swtpm',
                 sum(memory(tpm.processes(), what) for tpm in theirs[:count]) / count)
    print(f'vtpm_bench: with {len(ours)} instances the monitor holds '
          f'{memory([children(ours[0].node.holder.pid)], "Pss"):.1f} MB', file=sys.stderr)


def children(process):
    return int(pathlib.Path(f'/proc/{process}/task/{process}/children').read_text().split()[0])


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix='bastide-bench-'))
    ours, theirs, started, nodes = [], [], [], []
    try:
        certificate = work / 'cert.der'
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=owner',
                        '-keyout', work / 'owner.pem', '-outform', 'DER', '-out', certificate], check=True, stderr=subprocess.DEVNULL)
        nodes.append(Node(work / 'node', certificate))
        for number in range(1 + INSTANCES):  # the first is worked with, the others are looked at
            ours.append(Vtpm(nodes[0], f'vm{number}'))
            theirs.append(Swtpm(work / f'theirs{number}'))
        starts('vtpm.start', ours[0], theirs[0])
        compare(ours[0], theirs[0], INDEX, called='nv_write_default')
        relaxed, kept = Vtpm(nodes[0], 'relaxed', ',fsync=no'), Swtpm(work / 'kept')
        started += [relaxed, kept]
        for tpm in (relaxed, theirs[0]):
            tpm.stop()
            first_answer(tpm)
        compare(relaxed, theirs[0], INDEX + 2, 'nv_write')
        if shutil.which('chattr') and subprocess.run(['chattr', '+S', kept.home]).returncode == 0:  # a write there returns when it is on the disk
            for tpm in (ours[0], kept):
                tpm.stop()
                first_answer(tpm)
            compare(ours[0], kept, INDEX + 1, 'nv_write', 'nv_write_kept')
        nodes.append(Node(work / 'cold', certificate, '--no-spare'))
        started.append(Vtpm(nodes[-1], 'vm'))
        starts('vtpm.start_no_spare', started[-1], theirs[0])
        synced = fdatasync(work)
        line('vtpm.fdatasync_4k', sorted(synced)[len(synced) // 2], 'µs', runs=synced)
        for tpm in started + [ours[0], theirs[0]]:
            tpm.stop()
        nodes.pop().end()
        started.append(Vtpm(nodes[0], 'own'))
        sizes(started[-1], ours[1:], theirs[1:])
    finally:
        for tpm in ours + theirs + started:
            tpm.stop()
        for node in nodes:
            node.end()
        shutil.rmtree(work, ignore_errors=True)


main()
