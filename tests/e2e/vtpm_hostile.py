"""What a vTPM's sockets are sent by who means no good, and what comes back.

    vtpm_hostile.py PHASE DATA CONTROL NEIGHBOUR      each a UNIX socket's path or HOST:PORT

PHASE: "off" (a TPM that was never told INIT), "on" (one that runs), "crowd" (connections), "end" (SHUTDOWN).
All the while the neighbour is asked, and must answer."""
import os, random, socket, struct, sys, threading, time

phase, data, control, neighbour = sys.argv[1:]
OK, BAD_PARAMETER, FAIL, BAD_ORDINAL, BAD_LOCALITY = 0, 3, 9, 10, 0x3d
BLOB = 160 * 1024
random.seed(4)


def to(place, timeout=60):
    if place[0] == '/':
        s = socket.socket(socket.AF_UNIX)
        address = place
    else:
        s = socket.socket(socket.AF_INET)
        host, port = place.rsplit(':', 1)
        address = (host, int(port))
    s.settimeout(timeout)
    s.connect(address)
    return s


def claim(what, good, *seen):
    print(('ok: ' if good else 'FAILED: ') + what, *([] if good else seen), flush=True)
    if not good:
        os._exit(1)


def all_of(s, count):
    got = b''
    while len(got) < count:
        piece = s.recv(count - len(got))
        if not piece:
            break
        got += piece
    return got


def until_closed(s):
    got = b''
    try:
        while piece := s.recv(65536):
            got += piece
    except ConnectionResetError: # it was hung up on with bytes unread
        pass
    return got


def u32(*values):
    return struct.pack('>%dI' % len(values), *values)


def tpm(code, body=b'', tag=0x8001):
    return struct.pack('>HII', tag, 10 + len(body), code) + body


def answer(s): # of a TPM
    head = all_of(s, 10)
    if len(head) < 10:
        return None, b''
    _, size, code = struct.unpack('>HII', head)
    return code, all_of(s, size - 10)


def command(frame, place=data):
    with to(place) as s:
        s.sendall(frame)
        return answer(s)[0]


def ask(number, body=b'', place=control): # a control command: the result, and what follows
    with to(place) as s:
        s.sendall(u32(number) + body)
        got = s.recv(65536)
        return int.from_bytes(got[:4], 'big'), got[4:]


RANDOM = tpm(0x17b, b'\0\x10')


def alive(place=data):
    return command(RANDOM, place) in (0, 0x100)


# Number, name, a whole body, what it says of a TPM that is off, and of one that is on. None: not asked for here.
COMMANDS = [
    (0x01, 'GET_CAPABILITY', b'', OK, OK),
    (0x02, 'INIT', u32(0), None, None),
    (0x03, 'SHUTDOWN', b'', None, None),
    (0x04, 'GET_ESTABLISHED', b'', BAD_ORDINAL, OK),
    (0x05, 'SET_LOCALITY', b'\0', OK, OK),
    (0x06, 'HASH_START', b'', BAD_ORDINAL, OK),
    (0x07, 'HASH_DATA', u32(4) + b'data', BAD_ORDINAL, OK),
    (0x08, 'HASH_END', b'', BAD_ORDINAL, OK),
    (0x09, 'CANCEL', b'', BAD_ORDINAL, OK),
    (0x0a, 'STORE_VOLATILE', b'', BAD_ORDINAL, OK),
    (0x0b, 'RESET_ESTABLISHED', b'\3', BAD_ORDINAL, OK),
    (0x0c, 'GET_STATE', u32(1, 1, 0), BAD_ORDINAL, FAIL),
    (0x0d, 'SET_STATE', u32(0, 1, 4) + b'blob', FAIL, BAD_ORDINAL),
    (0x0e, 'STOP', b'', None, None),
    (0x0f, 'GET_CONFIG', b'', OK, OK),
    (0x10, 'SET_DATAFD', b'', BAD_PARAMETER, BAD_PARAMETER),
    (0x11, 'SET_BUFFER_SIZE', u32(1024), OK, BAD_ORDINAL),
    (0x12, 'GET_INFO', struct.pack('>QII', 0x40, 0, 0), OK, OK),
]


def every_command(column, what):
    for number, name, body, *said in COMMANDS:
        if said[column] is not None:
            result, _ = ask(number, body)
            claim(f'{what}: {name}', result == said[column], hex(result))


def cut(): # each command, after each of its bytes: no answer, and nothing done
    for number, name, body, *_ in COMMANDS:
        frame = u32(number) + body
        for length in range(len(frame)):
            with to(control) as s:
                s.sendall(frame[:length])
                s.shutdown(socket.SHUT_WR)
                got = until_closed(s)
                if got:
                    claim(f'{name} cut after {length} bytes is no command', False, got)
        claim(f'{name}, cut after each of its {len(frame)} bytes, is no command', True)


def unknown():
    for number in [0, 0x13, 0x14, 0x40, 0xff, 0x100, 0x10000001, 0x80000001, 0xffffffff]:
        result, rest = ask(number, os.urandom(number % 7))
        if (result, rest) != (BAD_ORDINAL, b''):
            claim(f'{number:#x} is no command', False, hex(result), rest)
    claim('nine numbers are no command', True)


def oversized():
    for name, head in (('HASH_DATA', u32(7)), ('SET_STATE', u32(13, 0, 1))):
        for length in (BLOB + 1, 0x7fffffff, 0xffffffff):
            with to(control) as s:
                s.sendall(head + u32(length))
                claim(f'{name} of {length} bytes is hung up on', until_closed(s) == b'')
        with to(control) as s:
            s.sendall(head + u32(BLOB) + bytes(BLOB))
            claim(f'{name} of {BLOB} bytes is answered', int.from_bytes(all_of(s, 4), 'big') in (FAIL, BAD_ORDINAL, OK))
    with to(control) as s: # more than a command: the next one's beginning
        s.sendall(u32(1) + b'\0')
        first = all_of(s, 8)
        s.sendall(u32(1)[1:])
        claim('a byte too many begins the next command', first == all_of(s, 8) == bytes.fromhex('000000000000ffff'))


def localities():
    for number, name in ((5, 'SET_LOCALITY'), (11, 'RESET_ESTABLISHED')):
        wrong = [ask(number, bytes([locality]))[0] for locality in range(5, 256)]
        claim(f'{name}: 251 localities that there are not', set(wrong) == {BAD_LOCALITY}, wrong)
    reset = tpm(0x13d, u32(20, 9) + u32(0x40000009) + b'\0\0\0\0\0', 0x8002) # PCR 20, which locality 2 may
    for locality, expected in ((0, 0x907), (1, 0x907), (2, 0), (3, 0x907), (4, 0x907)):
        ask(5, bytes([locality]))
        code = command(reset)
        claim(f'PCR 20 at locality {locality}', code == expected, hex(code))
    ask(5, b'\0')
    claim('and no other locality lasts', command(reset) == 0x907)
    for locality in range(5, 256, 10): # by prefix
        with to(data) as s:
            s.sendall(struct.pack('>IBI', 8, locality, len(reset)) + reset)
            got = s.recv(4096)
            if got[4:14][6:10] == bytes(4):
                claim(f'a prefix of locality {locality} opens nothing', False, got.hex())
    claim('a prefix of a locality that there is not opens nothing', True)


def tpm_commands():
    for length in range(len(RANDOM)):
        with to(data) as s:
            s.sendall(RANDOM[:length])
            s.shutdown(socket.SHUT_WR)
            if until_closed(s):
                claim(f'a TPM command cut after {length} bytes is none', False)
    claim('a TPM command cut anywhere is none', True)
    claim('an unknown one', command(tpm(0x3ff)) == 0x143)
    claim('a wrong tag, as swtpm has it', command(tpm(0x17b, b'\0\x10', 0x1234)) == 0x84)
    claim('one byte too many in it', command(tpm(0x17b, b'\0\x10\0')) == 0x95)
    claim('one too few', command(tpm(0x17b, b'\0')) in (0x95, 0x9a, 0x1da), hex(command(tpm(0x17b, b'\0'))))
    with to(data) as s:
        s.sendall(struct.pack('>HII', 0x8001, 4096, 0x17b) + bytes(4086))
        claim('the longest that is taken is answered', answer(s)[0] not in (0, None))
    with to(data) as s:
        s.sendall(struct.pack('>HII', 0x8001, 4097, 0x17b) + bytes(4087))
        claim('a longer one is hung up on', until_closed(s) == b'')
    codes = {}
    with to(data) as s:
        for _ in range(400):
            frame = tpm(random.randrange(0x11f, 0x1a0), os.urandom(random.randrange(200)), random.choice((0x8001, 0x8002)))
            if int.from_bytes(frame[6:10], 'big') in (0x121, 0x126, 0x129, 0x12b, 0x145): # they need no authorization to hurt
                continue
            s.sendall(frame)
            code, _ = answer(s)
            if code is None:
                claim('noise is answered', False, frame.hex())
            codes[code] = codes.get(code, 0) + 1
    claim('four hundred commands of noise are answered, most with a refusal', sum(codes.values()) - codes.get(0, 0) > 300, codes)
    flush()


def flush(): # whatever noise left loaded
    with to(data) as s:
        for kind in (0x80000000, 0x02000000, 0x03000000):
            for index in range(8):
                s.sendall(tpm(0x165, u32(kind + index)))
                answer(s)


def crowd_at(place, name):
    held, family = [], socket.AF_UNIX if place[0] == '/' else socket.AF_INET
    for _ in range(1000):
        s = socket.socket(family)
        s.setblocking(False)
        try:
            if family == socket.AF_UNIX:
                s.connect(place)
            else:
                s.connect((place.rsplit(':')[0], int(place.rsplit(':')[1])))
        except BlockingIOError:
            pass
        held.append(s)
    claim(f'a thousand connect to {name}', len(held) == 1000)
    begun = time.time()
    claim('while they are silent others are served', alive() and ask(1)[0] == OK)
    claim('at once', time.time() - begun < 20, time.time() - begun)
    for s in held:
        s.close()
    claim('they leave, and it serves', alive() and ask(1)[0] == OK)


def crowd():
    crowd_at(data, 'data')
    crowd_at(control, 'control')
    half = []
    for i in range(200):
        s = to(data if i % 2 else control)
        s.sendall(RANDOM[:5] if i % 2 else b'\0\0')
        half.append(s)
    claim('two hundred stop halfway: others are served', alive() and ask(1)[0] == OK)
    for s in half:
        s.close()
    claim('they leave, and it serves', alive() and ask(1)[0] == OK)


def settled(): # by one process, which is no reason for another to wait
    held = []
    for _ in range(150):
        s = to(control)
        s.sendall(u32(1))
        if len(all_of(s, 8)) < 8:
            claim('each that comes is answered', False, len(held))
        held.append(s)
    claim('a hundred and fifty ask and stay: each is answered', True)
    child = os.fork()
    if child == 0:
        os._exit(0 if alive() and ask(1)[0] == OK else 1)
    claim('and so is another process', os.waitpid(child, 0)[1] == 0)
    for s in held:
        s.close()


KEYS = struct.pack('>HH', 1, 8) + bytes(8)
STATUS = struct.pack('>HHIH', 1, 1, 10, 8) + bytes(8) # of a transfer
UNKNOWN = struct.pack('>HHIH', 1, 99, 2, 0)


def beside(place, question, name): # its owner's sockets
    for length in range(len(question)):
        with to(place) as s:
            s.sendall(question[:length])
            s.shutdown(socket.SHUT_WR)
            if until_closed(s):
                claim(f'a question at {name} cut after {length} bytes is none', False)
    claim(f'a question at {name} cut anywhere is none', True)
    for _ in range(200):
        with to(place) as s:
            s.sendall(os.urandom(random.randrange(1, 300)))
            s.shutdown(socket.SHUT_WR)
            got = until_closed(s)
            if got[2:4] == bytes(2):
                claim(f'noise at {name} is refused', False, got[:16].hex())
    claim(f'noise at {name} is refused or hung up on', True)
    whole(place, question, name)
    crowd_at(place, name)
    whole(place, question, name) # behind the last of them, who else would push out who comes next


def whole(place, question, name):
    with to(place) as s:
        s.sendall(question)
        claim(f'a whole one at {name} is answered', all_of(s, 8)[2:4] == bytes(2))


def deaf(place, frame, name):
    s = to(place, 2)
    try:
        for _ in range(400000):
            s.sendall(frame)
        stuck = False
    except TimeoutError:
        stuck = True
    claim(f'who never reads at {name} is not read either', stuck)
    claim('and others are served', alive() and ask(1)[0] == OK)
    return s


def neighbour_answers(stop, count):
    while not stop.is_set():
        with to(neighbour) as s:
            s.sendall(RANDOM)
            if answer(s)[0] != 0:
                claim('the neighbour answers', False)
        count[0] += 1
        time.sleep(.02)


stop, count = threading.Event(), [0]
watcher = threading.Thread(target=neighbour_answers, args=(stop, count), daemon=True) # it ends with whoever else ends
watcher.start()
if phase == 'off':
    every_command(0, 'never told INIT')
    claim('a TPM command then', command(RANDOM) not in (0, None))
    cut()
    every_command(0, 'and still')
    claim('INIT', ask(2, u32(0))[0] == OK)
    claim('but no Startup', command(RANDOM) == 0x100)
    claim('a wrong Startup', command(tpm(0x144, b'\0\7')) == 0x1c4)
    claim('a Startup from what was never saved', command(tpm(0x144, b'\0\1')) == 0x1c4, hex(command(tpm(0x144, b'\0\1'))))
    claim('Startup', command(tpm(0x144, b'\0\0')) == 0)
    claim('twice', command(tpm(0x144, b'\0\0')) == 0x100)
    claim('STOP', ask(14)[0] == OK)
    every_command(0, 'after STOP')
    claim('a TPM command after STOP', command(RANDOM) not in (0, None))
    claim('INIT again', ask(2, u32(0))[0] == OK and command(tpm(0x144, b'\0\0')) == 0)
    claim('it runs', command(RANDOM) == 0)
elif phase == 'on':
    every_command(1, 'running')
    cut()
    claim('none of it was done', command(RANDOM) == 0)
    unknown()
    oversized()
    localities()
    tpm_commands()
    beside(data + '.keys', KEYS, 'the socket for its keys')
    beside(data + '.transfer', STATUS, 'the socket for its state')
    with to(data + '.transfer') as s:
        s.sendall(UNKNOWN)
        claim('what its state cannot be asked is refused', all_of(s, 8)[2:4] not in (b'', bytes(2)))
    held = [deaf(control, u32(1) * 1000, 'the control channel'), deaf(data, RANDOM * 1000, 'the data channel'),
            deaf(data + '.keys', KEYS * 1000, 'the socket for its keys')]
    crowd()
    settled()
    claim('it runs', command(RANDOM) == 0)
elif phase == 'crowd':
    crowd()
    held = [deaf(data, RANDOM * 1000, 'a port')]
elif phase == 'end':
    with to(control) as s:
        s.sendall(u32(3) + u32(1) + u32(2, 0))
        got = until_closed(s)
        claim('SHUTDOWN is answered, what came after it is not', got == bytes(4), got.hex())
    for _ in range(200):
        try:
            to(data).close()
            time.sleep(.05)
        except OSError:
            break
    else:
        claim('nobody is at its sockets', False)
    claim('nobody is at its sockets', True)
stop.set()
watcher.join()
claim('the neighbour answered all the while', count[0] > 0, count[0])
