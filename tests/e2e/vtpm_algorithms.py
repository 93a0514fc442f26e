"""Every algorithm that a TPM's commands may ask libcrypto for, asked of a vTPM and of swtpm: what one answers the other
must, and where the answer is not drawn by lot, the same bytes.

    vtpm_algorithms.py OURS THEIRS      the data sockets of the two"""
import hashlib, socket, struct, sys

HASHES = {'sha1': 4, 'sha256': 0xb, 'sha384': 0xc, 'sha512': 0xd}
MODES = {'ecb': 0x44, 'cbc': 0x42, 'ctr': 0x40, 'cfb': 0x43, 'ofb': 0x41}
NULL, OWNER, NO_HIERARCHY = 0x10, 0x40000001, 0x40000007
CMAC = 0x3f
RETRY = 0x922


def u16(*values):
    return struct.pack('>%dH' % len(values), *values)


def u32(*values):
    return struct.pack('>%dI' % len(values), *values)


def sized(data=b''):
    return u16(len(data)) + data


class Tpm:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(path)

    def ask(self, code, handles=(), body=b'', authorised=False):
        """response code, what follows it"""
        head = u32(*handles) + (u32(9, 0x40000009) + bytes(2) + b'\0' + bytes(2) if authorised else b'')
        command = struct.pack('>HII', 0x8002 if authorised else 0x8001, 10 + len(head) + len(body), code) + head + body
        while True:
            self.socket.sendall(command)
            answer = b''
            while len(answer) < 10 or len(answer) < struct.unpack('>I', answer[2:6])[0]:
                answer += self.socket.recv(8192)
            result = struct.unpack('>I', answer[6:10])[0]
            if result != RETRY:
                return result, answer[10:]

    def flush(self, handle):
        self.ask(0x165, (), u32(handle))

    def primary(self, public):
        result, rest = self.ask(0x131, (OWNER,), sized(sized() + sized()) + sized(public) + sized() + u32(0), True)
        if result:
            return result, 0, b''
        handle, _, length = struct.unpack('>IIH', rest[:10])
        return result, handle, rest[10:10 + length]


def load(tpm, algorithm, bits, mode, attributes):
    """response code, handle of a symmetric key that is 1, 2, 3 …"""
    key, seed = bytes(range(1, 1 + bits // 8)), bytes(32)
    sensitive = u16(0x25) + sized() + sized(seed) + sized(key)
    public = u16(0x25, 0xb) + u32(attributes) + sized() + u16(algorithm, bits, mode) + sized(hashlib.sha256(seed + key).digest())
    result, rest = tpm.ask(0x167, (), sized(sensitive) + sized(public) + u32(NO_HIERARCHY))
    return result, 0 if result else struct.unpack('>I', rest[:4])[0]


def ciphers(tpm):
    for name, algorithm, block, sizes in (('aes', 6, 16, (128, 192, 256)), ('camellia', 0x26, 16, (128, 192, 256)),
                                          ('tdes', 3, 8, (128, 192))):
        for bits in sizes:
            for mode, number in MODES.items():
                result, handle = load(tpm, algorithm, bits, number, 0x60040)
                if result:
                    yield f'{name}-{bits}-{mode} as a key', result, b''
                    continue
                initial = b'' if mode == 'ecb' else bytes(range(block))
                for direction, what in ((0, 'encrypts'), (1, 'decrypts')):
                    body = sized(bytes(range(64))) + bytes([direction]) + u16(NULL) + sized(initial)
                    result, rest = tpm.ask(0x193, (handle,), body, True)
                    yield f'{name}-{bits}-{mode} {what}', result, rest
                tpm.flush(handle)


def macs(tpm):
    for bits in (128, 192, 256):
        result, handle = load(tpm, 6, bits, CMAC, 0x40040)
        yield f'an AES-CMAC key of {bits} bits', result, b''
        if result == 0:
            result, rest = tpm.ask(0x155, (handle,), sized(bytes(range(100))) + u16(CMAC), True)
            yield f'AES-CMAC with {bits} bits', result, rest
            tpm.flush(handle)


def hashes(tpm):
    for name, number in HASHES.items():
        result, rest = tpm.ask(0x17d, (), sized(b'message') + u16(number) + u32(NO_HIERARCHY))
        yield f'{name} of a message', result, rest


def signatures(tpm, handle, kind, schemes):
    for scheme, number in schemes.items():
        for name, algorithm in HASHES.items():
            digest = hashlib.new(name, b'message').digest()
            body = sized(digest) + u16(number, algorithm) + struct.pack('>HIH', 0x8024, NO_HIERARCHY, 0)
            result, rest = tpm.ask(0x15d, (handle,), body, True)
            yield f'{kind} signs by {scheme} with {name}', result, b''
            if result == 0:
                signature = rest[4:4 + struct.unpack('>I', rest[:4])[0]]
                result, _ = tpm.ask(0x177, (handle,), sized(digest) + signature)
                yield f'{kind} verifies that', result, b''


def rsa(tpm):
    public = u16(1, 0xb) + u32(0x60072) + sized() + u16(NULL, NULL, 2048) + u32(0) + sized()
    result, handle, _ = tpm.primary(public)
    yield 'RSA-2048 is made', result, b''
    yield from signatures(tpm, handle, 'RSA-2048', {'rsassa': 0x14, 'rsapss': 0x16})
    schemes = {'nothing': u16(NULL), 'PKCS #1 v1.5': u16(0x15)}
    schemes.update({f'OAEP with {name}': u16(0x17, number) for name, number in HASHES.items()})
    for name, scheme in schemes.items():
        text = b'\1' + bytes(255) if name == 'nothing' else b'message'
        result, rest = tpm.ask(0x174, (handle,), sized(text) + scheme + sized(b'label\0'))
        yield f'RSA-2048 encrypts, padded by {name}', result, b''
        if result == 0:
            result, rest = tpm.ask(0x159, (handle,), rest + scheme + sized(b'label\0'), True)
            yield f'RSA-2048 decrypts, padded by {name}', result, rest
    tpm.flush(handle)


def curves(tpm):
    for curve in (1, 2, 3, 4, 5, 0x10, 0x11, 0x20):
        public = u16(0x23, 0xb) + u32(0x60072) + sized() + u16(NULL, NULL, curve, NULL) + sized() + sized()
        result, handle, made = tpm.primary(public)
        yield f'a key on curve {curve} is made', result, b''
        if result:
            continue
        yield from signatures(tpm, handle, f'curve {curve}', {'ecdsa': 0x18, 'ecschnorr': 0x1c, 'sm2': 0x1b})
        point = made[4 + 4 + 2 + 8:]
        result, rest = tpm.ask(0x154, (handle,), sized(point), True)
        yield f'a secret is agreed on over curve {curve}', result, b''
        tpm.flush(handle)


def everything(path):
    tpm = Tpm(path)
    return [each for part in (hashes, ciphers, macs, rsa, curves) for each in part(tpm)]


ours, theirs = (everything(path) for path in sys.argv[1:])
failed = len(ours) != len(theirs)
works = 0
for (name, result, answer), (other, their_result, their_answer) in zip(ours, theirs):
    works += result == 0
    if (name, result, answer) != (other, their_result, their_answer):
        print(f'FAILED: {name}: {result:#x} {answer.hex()} beside {other}: {their_result:#x} {their_answer.hex()}')
        failed = True
if not failed:
    print(f'ok: of {len(ours)} uses of an algorithm {works} work, as with swtpm')
sys.exit(failed or works < 100)
